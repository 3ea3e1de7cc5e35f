#!/bin/bash
# perl.sh - perl: hashes, closures in cycles, threads, fork, regexes, modules.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >data.pl <<'END'
use strict; use warnings;
use Data::Dumper; use List::Util qw(sum max reduce); use Storable qw(dclone);
use Encode; use Time::Local; use POSIX qw(floor strftime); use Digest::SHA;
$Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1;
my %h; push @{ $h{$_ % 97} }, "value $_" for 1 .. 50000;
print scalar(keys %h), " ", sum(map { scalar @$_ } values %h), "\n";
my @sorted = sort { $a <=> $b || $a cmp $b } keys %h;
print "@sorted[0 .. 5]\n", Dumper({ %h{1, 2} }) =~ tr/\n//, "\n";
for (1 .. 2000) { my $node = { id => $_ }; $node->{self} = $node; }
my @subs = map { my $n = $_; sub { $n += shift } } 1 .. 1000;
$_->(5) for @subs; print $subs[999]->(1), "\n";
my $text = join " ", map { "w$_" x ($_ % 5 + 1) } 1 .. 20000;
my $count = () = $text =~ /(w\d+)\1(?!\1)/g; print "$count\n";
(my $copy = $text) =~ s/(\d+)/$1 + 1/ge; print length($copy), "\n";
print Digest::SHA::sha256_hex($copy), "\n";
print reduce { $a * $b % 1000003 } 1 .. 5000; print "\n";
my $deep = []; my $p = $deep; $p = $p->[0] = [] for 1 .. 5000;
print ref dclone(\%h), "\n"; undef $deep;
print encode("UTF-8", "\x{263a}" x 3), " ", length(decode("UTF-8", "\xc3\xa9")),
    "\n", strftime("%F", gmtime timegm(0, 0, 0, 24, 10, 126)), "\n";
local $@; eval { die { code => 7 } }; print $@->{code}, "\n";
eval "sub broken {"; print $@ ? "syntax error\n" : "?\n";
package Counter { my $live = 0; sub new { $live++; bless {}, shift }
    sub DESTROY { $live-- } sub live { $live } }
{ my @c = map { Counter->new } 1 .. 100; print Counter::live(), "\n"; }
print Counter::live(), "\n";
format STDOUT =
@<<<<< @>>>>> @##.##
"left", "right", 3.14159
.
write; warn "to standard error\n"; exit 5;
END
	cat >procs.pl <<'END'
use strict; use warnings; use threads; use threads::shared; use Thread::Queue;
$| = 1;
my $sum :shared = 0; my $queue = Thread::Queue->new(1 .. 200);
$queue->end;
my @t = map { threads->create(sub { my $n = 0;
    while (defined(my $i = $queue->dequeue)) { $n += $i; my %h = map { $_ => 1 } 1 .. 200 }
    lock $sum; $sum += $n; return $n }) } 1 .. 4;
$_->join for @t; print "$sum\n";
my @kids;
for my $n (1 .. 5) { my $pid = fork // die; unless ($pid) {
    my @list = (1 .. 1000 * $n); exit scalar(@list) / 1000 } push @kids, $pid }
print join(",", map { waitpid $_, 0; $? >> 8 } @kids), "\n";
open my $pipe, "-|", "seq 1 2000 | sort -n" or die; my $n = 0; $n += $_ while <$pipe>;
close $pipe; print "$n\n";
open my $out, "|-", "cat" or die; print $out "through cat\n"; close $out;
print `echo backticks`, system("exit 3") >> 8, "\n";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5 };
print $@; $SIG{CHLD} = sub { print "child ended\n" }; system "true";
kill USR1 => $$ if $SIG{USR1} = sub { print "USR1\n" }; exec "echo", "the end";
END
}

data()
{
	PERL_HASH_SEED=0 status perl "$input/data.pl"
	perl -ne '$s += $1 if /(\d+)/; END { print "$s\n" }' <(seq 1 30000)
	perl -MMath::BigInt -e 'print Math::BigInt->new(3) ** 700, "\n"'
	perl -i.bak -pe 's/use/USE/' <(true); status perl -e 'die "so\n"'
	status perl -c "$input/procs.pl"
}

procs()
{
	status perl "$input/procs.pl"
}

compare data perl
compare procs perl echo
finish
