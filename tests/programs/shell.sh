#!/bin/bash
# shell.sh - dash and bash: forks without exec, pipes, jobs, traps, big words.
. "$(dirname "$0")/harness.sh"

prepare()
{
	# What both shells can do; bash runs it too, as sh does.
	cat >posix.sh <<'END'
fact() { if [ "$1" -le 1 ]; then echo 1; else
	echo $(( $1 * $(fact $(( $1 - 1 ))) )); fi; }
fact 15
i=0; text=
while [ $i -lt 2000 ]; do text="$text word$i"; i=$((i + 1)); done
set -- $text; echo "$# words, last ${20##word}, ${#text} characters"
for f in /etc/*.conf; do echo "${f##*/}"; done | wc -l
printf '%s\n' three one two | while read -r line; do echo "<$line>"; done
cat <<HERE | tr a-z A-Z
a here document with $(echo a command) and $((6 * 7))
HERE
trap 'echo trapped USR1' USR1; kill -USR1 $$
trap 'echo leaving' EXIT
(trap - EXIT; exit 7) || echo "subshell ended with $?"
sleep 0.2 & job=$!; wait $job; echo "waited: $?"
(kill -TERM $(exec sh -c 'echo $PPID'); sleep 5) 2>/dev/null
echo "killed: $?"
false | true; echo "pipe: $?"
eval "v_$i=evaluated; echo \$v_$i"
umask 027; : >made; chmod 4755 made; ls -l made | cut -c1-10
nosuchcommand 2>&1 | sed 's/.*nosuch/nosuch/'; exec 3>&1; echo to three >&3
cd / && pwd && cd - >/dev/null && echo back
exit 3
END
	cat >arrays.bash <<'END'
declare -A count; declare -a list
for ((i = 0; i < 5000; i++)); do
	list+=("item $((i * 7919 % 5000))"); ((count[k$((i % 37))] += i))
done
echo "${#list[@]} ${list[@]: -3:3} ${#count[@]} ${count[k11]}"
mapfile -t sorted < <(printf '%s\n' "${list[@]}" | sort -k2n)
echo "${sorted[0]} .. ${sorted[-1]}"
joined=$(IFS=,; echo "${list[*]}"); echo ${#joined} "${joined//item /}" | cksum
[[ 2026-11-24 =~ ^([0-9]+)-([0-9]+) ]] && echo "${BASH_REMATCH[2]}"
coproc REV { rev; }; echo stressed >&"${REV[1]}"; eval "exec ${REV[1]}>&-"
read -r word <&"${REV[0]}"; wait; echo "$word"
f() { local x=$1; (( x > 0 )) && f $((x - 1)) || echo "depth reached"; }; f 400
diff <(seq 1 5) <(seq 2 6); echo {a..e}{1..3} | fold -w 20
printf -v padded '%08.3f|%-6s|%q' 3.14159 ab 'a b'; echo "$padded"
shopt -s extglob globstar nullglob; mkdir -p t/{a,b}/c; : >t/a/c/x.txt
echo t/**/*.txt t/!(b)
set -o pipefail; false | cat; echo "pipefail $?"
( ulimit -n 40; ulimit -n ); time_is() { printf '%(%Y-%m-%d)T\n' 0; }; time_is
echo "${joined@Q}" | wc -c; echo "${list[@]^^}" | cut -c1-30
END
}

dash_script()
{
	status sh "$input/posix.sh"
}

bash_script()
{
	status bash --posix "$input/posix.sh"
	status bash "$input/arrays.bash"
}

# Shells end as their last program or a signal ends them.
endings()
{
	for shell in sh bash; do
		status $shell -c 'exit 42'
		status $shell -c 'nosuchcommand' 2>/dev/null
		status $shell -c 'kill -KILL $$'
		status $shell -c 'kill -SEGV $$'
		status $shell -c 'exec ls /nosuchfile'
		status $shell -c 'echo closed; exec >&-; echo lost' 2>/dev/null
		status $shell -c 'if then'
		echo 'echo from stdin; exit 9' | status $shell
	done
}

compare dash_script dash wc tr
compare bash_script bash cksum
compare endings dash bash ls
finish
