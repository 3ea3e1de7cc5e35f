#!/bin/bash
# vim.sh - vim -es: buffers, undo, both regular expression engines, scripts.
. "$(dirname "$0")/harness.sh"

prepare()
{
	seq 1 20000 | awk '{ print "line", $1, "with some text", $1 * 37 % 1009 }' \
		>text
	cat >edit.vim <<'END'
set nomore nocompatible undolevels=1000
%s/\v(line) (\d+)/\2 \1/
g/99 with/normal Aappended
set regexpengine=1 | %s/\<text\>\zs \(\d\)\+/ <&>/e | set regexpengine=2
1,5000sort! n
v/1/d
call setreg('q', "0ywP2j") | normal 10@q
let words = {}
for l in getline(1, '$')
  for w in split(l) | let words[w] = get(words, w, 0) + 1 | endfor
endfor
call append(0, printf('%d words, %s', len(words), string(items(words)[0:1]->len())))
function Deep(n)
  return a:n == 0 ? 0 : 1 + Deep(a:n - 1)
endfunction
call append(0, 'depth ' . Deep(90))
try | throw 'oops' | catch /oops/ | call append(0, 'caught ' . v:exception) | endtry
undo | redo | earlier 5 | later 5
let lines = map(range(1, 3000), {i, v -> repeat('x', v % 60) . v})
call writefile(lines, 'lines') | new | read lines | 2,$!sort -r
wincmd w | vnew | put ='in a split' | windo set textwidth=30 | normal gqip
call writefile(systemlist('echo from the shell'), 'shell')
let t = {'list': []} | let t.self = t | unlet t | call test_garbagecollect_now()
write! split | wincmd b | write! sorted | wincmd t | write! result
silent! nosuchcommand
cquit 4
END
}

# v:testing is needed for test_garbagecollect_now().
editing()
{
	cp "$input/text" text
	status vim -es -u NONE -i NONE -n --cmd 'let v:testing = 1' \
		-S "$input/edit.vim" text
	wc -l result sorted split lines shell
	head -n 4 result
	status vim -es -u NONE -i NONE +'%s/line/LINE/' +'$d' +wq text
	tail -n 1 text
	status vim -es -N -i NONE +'syntax on' +'set ft=c' \
		+'redir! > syn | silent syntax list cStatement | redir END' +q
	status vim -es -u NONE -i NONE +'e nosuchdir/x' +wq
	vim -es -u NONE -i NONE +'put =execute(\"echo 6*7\")' +%p +q!
}

compare editing 'vim.*'
finish
