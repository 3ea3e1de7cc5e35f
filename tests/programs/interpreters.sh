#!/bin/bash
# interpreters.sh - lua, ruby, php, tcl, emacs: collectors of their own that
# scan the stack or count references, coroutines, threads, forks.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >t.lua <<'END'
local t, made = {}, 0
for i = 1, 300000 do
	t[i % 1009 + 1] = { i, tostring(i):rep(i % 9), function() return i end }
end
for _, v in ipairs(t) do made = made + v[1] + #v[2] + v[3]() end
print(made)
local threads = {}
for n = 1, 500 do
	threads[n] = coroutine.wrap(function(...)
		for i = 1, 20 do coroutine.yield(i * n, ("x"):rep(i)) end
	end)
end
local sum = 0
for _ = 1, 20 do for n = 1, 500 do sum = sum + threads[n]() end end
print(sum, select("#", pcall(error, { code = 7 })))
setmetatable({}, { __gc = function() print("collected") end })
collectgarbage()
local weak = setmetatable({}, { __mode = "k" })
for i = 1, 20000 do weak[{}] = i end
collectgarbage(); print(next(weak))
local words = {}
for w in (("lorem ipsum dolor "):rep(30000)):gmatch("%a+") do
	words[#words + 1] = w
end
table.sort(words); print(#words, words[1], #table.concat(words, ","))
print(#string.dump(function(a) return a + 1 end) > 10, load("return 6 * 7")())
for line in io.popen("echo from a child"):lines() do print(line) end
print(os.execute("exit 3")); os.exit(5, true)
END
	cat >t.rb <<'END'
require 'digest'; require 'socket'; require 'set'; require 'fiber'
require 'json'; require 'zlib'; require 'timeout'; require 'objspace'
h = Hash.new { |hash, k| hash[k] = [] }
300_000.times { |i| h[i % 1009] << "item#{i}" if i % 3 == 0 }
puts h.values.sum(&:size), Digest::SHA256.hexdigest(h.to_a.join(','))
fibers = (1..200).map { |n| Fiber.new { 20.times { |i| Fiber.yield i * n }; 0 } }
puts (0..20).sum { fibers.sum(&:resume) }
queue = Queue.new
threads = (1..6).map { |n| Thread.new { 300.times { |i|
	queue << Array.new(100) { |k| "#{k}#{n}" * (i % 7) }.join.size } } }
threads.each(&:join)
total = 0; total += queue.pop until queue.empty?; puts total
GC.start; GC.compact rescue nil; GC.stress = false
text = JSON.generate(h); puts JSON.parse(text).size, text.size
puts Zlib::Inflate.inflate(Zlib::Deflate.deflate(text)) == text
big = 3 ** 20000; puts big.to_s.size, (big % 1_000_007)
puts (1..50_000).each_slice(7).map(&:sum).sort.last(2).inspect
pid = fork { GC.start; puts 'in a child'; exit! 3 }
Process.wait pid; puts $?.exitstatus
puts `echo by a shell`, system('exit 2').inspect
begin; Timeout.timeout(0.05) { sleep 5 }; rescue Timeout::Error; puts 'timed out'; end
trap('USR1') { puts 'signal' }; Process.kill 'USR1', $$; sleep 0.01
server = TCPServer.new(ENV['addr'], 7002)
serving = Thread.new { 20.times { c = server.accept; c.puts c.gets.reverse; c.close } }
puts (1..20).map { |i| s = TCPSocket.new(ENV['addr'], 7002); s.puts "ask#{i}"; s.read }.join.sum
serving.join
ObjectSpace.each_object(String).count > 100 or abort
def deep(n) = n == 0 ? 0 : 1 + deep(n - 1)
begin; deep(10_000_000); rescue SystemStackError; puts 'too deep'; end
at_exit { puts 'leaving' }; raise ArgumentError, 'in the end'
END
	cat >t.php <<'END'
<?php
class Node { public $next, $prev, $data; function __destruct() { global $gone; $gone++; } }
$gone = 0;
for ($i = 0; $i < 60000; $i++) {
	$a = new Node; $b = new Node; $a->next = $b; $b->prev = $a;
	$a->data = str_repeat("x", $i % 97);
}
unset($a, $b); gc_collect_cycles(); echo $gone, "\n";
$words = []; mt_srand(5);
for ($i = 0; $i < 200000; $i++) $words["w" . mt_rand(0, 5000)][] = $i;
ksort($words); echo count($words), " ", md5(serialize($words)), "\n";
function gen($n) { for ($i = 0; $i < $n; $i++) yield $i => str_repeat($i, 3); }
$l = 0; foreach (gen(50000) as $k => $v) $l += strlen($v) + $k; echo $l, "\n";
echo preg_match_all('/(\d)\1/', implode(",", range(1, 50000))), "\n";
$fiber = new Fiber(function ($x) { while (true) $x = Fiber::suspend($x * 2); });
$fiber->start(1); for ($i = 0; $i < 1000; $i++) $r = $fiber->resume($i); echo $r, "\n";
echo strlen(json_encode($words)), " ", json_decode('{"a":[1,2,{"b":null}]}')->a[1], "\n";
$list = array_map(fn($i) => $i * 7919 % 10007, range(1, 10007)); usort($list, fn($a, $b) => $a <=> $b); echo $list[99], "\n";
$f = tmpfile(); fwrite($f, str_repeat("line\n", 100000)); rewind($f); $n = 0;
while (($s = fgets($f)) !== false) $n += strlen($s); echo $n, "\n";
echo shell_exec("echo by a shell"); try { intdiv(1, 0); } catch (Error $e) { echo get_class($e), "\n"; }
ini_set("memory_limit", "16M"); $x = []; while (true) $x[] = str_repeat("y", 1000);
END
	cat >t.tcl <<'END'
set d [dict create]
for {set i 0} {$i < 100000} {incr i} { dict lappend d [expr {$i % 997}] item$i }
puts "[dict size $d] [string length $d]"
proc gen {n} { yield; for {set i 0} {$i < $n} {incr i} { yield [string repeat x $i] } }
for {set n 0} {$n < 200} {incr n} { coroutine c$n gen 50 }
set sum 0
for {set i 0} {$i < 50} {incr i} { for {set n 0} {$n < 200} {incr n} { incr sum [string length [c$n]] } }
puts $sum
puts [llength [lsort -unique [split [string repeat "a b c d " 30000]]]]
puts [regexp -all {([0-9])\1} [string repeat 1223334444 5000]] ; puts [expr {2**500 % 1000007}]
set f [open "|cat" r+]; puts $f "through cat"; close $f write; gets $f line; puts $line; close $f
proc serve {s a p} { fconfigure $s -buffering line; puts $s [string reverse [gets $s]]; close $s }
set server [socket -server serve -myaddr $::env(addr) 7003]
proc answer {s} { global n; gets $s line; puts $line; close $s; incr n }
set n 0
for {set i 0} {$i < 5} {incr i} { set s [socket $::env(addr) 7003]; fconfigure $s -buffering line
	puts $s hello; fileevent $s readable [list answer $s]; vwait n }
after 30 {set done 1}; vwait done
interp create child; child eval {proc f x {expr {$x * 2}}}; puts [child eval f 21]; interp delete child
puts [catch {exec sh -c {exit 4}} message]; exit 6
END
	cat >t.el <<'END'
(let ((table (make-hash-table :test 'equal)) (sum 0))
  (dotimes (i 200000) (push (format "item%d" i) (gethash (% i 1009) table)))
  (maphash (lambda (_ v) (setq sum (+ sum (length v)))) table)
  (garbage-collect)
  (princ (format "%d %s\n" sum (secure-hash 'sha256 (prin1-to-string (gethash 7 table))))))
(with-temp-buffer
  (dotimes (i 20000) (insert (format "line %d of the buffer\n" i)))
  (goto-char (point-min))
  (while (re-search-forward "\\([0-9]\\)\\1" nil t) (replace-match "<\\1>"))
  (sort-lines nil (point-min) (point-max))
  (undo-boundary) (emacs-lisp-mode) (font-lock-mode 1)
  (princ (format "%d %s\n" (buffer-size) (md5 (current-buffer)))))
(let ((threads (mapcar (lambda (n) (make-thread (lambda () (make-list (* n 1000) n))))
                       (number-sequence 1 8))))
  (mapc #'thread-join threads))
(princ (shell-command-to-string "echo by a shell"))
(let* ((process-connection-type nil) (heard "")
       (process (start-process "cat" nil "cat")))
  (set-process-filter process (lambda (_ s) (setq heard (concat heard s))))
  (process-send-string process (make-string 50000 ?x)) (process-send-eof process)
  (while (process-live-p process) (accept-process-output process 1))
  (while (accept-process-output process 0.05))
  (princ (format "%d\n" (length heard))))
(princ (json-encode '((a . [1 2 3]) (b . "c")))) (terpri)
(condition-case e (car 5) (error (princ (format "%S\n" e))))
(princ (calc-eval "2^300 % 1000007")) (terpri)
(kill-emacs 9)
END
	echo 'int f(int n) { return n < 2 ? n : f(n - 1) + f(n - 2); }
	int main(void) { return f(10); }' >debugged.c
	gcc -g -O0 -o debugged debugged.c
}

lua_script()
{
	status lua5.4 "$input/t.lua"
	status lua5.4 -e 'local function f() return f() + 1 end f()' 2>&1 |
		head -n 2
}

# A thrown error tells addresses nowhere; the depth of recursion differs.
ruby_script()
{
	status ruby --disable-gems "$input/t.rb"
	status ruby --disable-gems -e 'GC.stress = true; puts (1..30).map { |i|
		[i.to_s * 3] }.flatten.join'
}

php_script()
{
	status php -n "$input/t.php" 2>&1 | sed 's/allocated.*allocate/ /'
}

tcl_script()
{
	status tclsh "$input/t.tcl"
}

emacs_script()
{
	status emacs -Q --batch -l calc -l json -l "$input/t.el"
}

# Which of its processes lives at an address differs; gdb puts away ASLR.
gdb_script()
{
	status gdb -nx -q -batch -ex 'break f if n == 3' -ex run -ex bt \
		-ex 'print n * 7' -ex 'info threads' -ex 'watch n' -ex delete \
		-ex 'python print([i for i in range(9)])' -ex continue \
		"$input/debugged" 2>&1 | sed 's/0x[0-9a-f]*/ADDRESS/g
			s/process [0-9]*/process N/g; s/LWP [0-9]*/LWP N/g'
	status gdb -nx -q -batch -ex 'info line main' -ex 'disassemble f' \
		"$input/debugged" | cksum
}

compare lua_script 'lua[.0-9]*'
compare ruby_script 'ruby[.0-9]*'
compare php_script 'php[.0-9]*'
compare tcl_script 'tclsh[.0-9]*'
compare emacs_script 'emacs.*'
compare gdb_script 'gdb' debugged
finish
