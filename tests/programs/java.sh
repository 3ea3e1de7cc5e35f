#!/bin/bash
# java.sh - javac and java: a runtime with its own heap, its own SIGSEGV
# handler and its own collector threads.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >Main.java <<'END'
import java.io.*;
import java.nio.*;
import java.nio.file.*;
import java.security.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;
import java.util.zip.*;

public class Main {
	record Point(int x, int y) { }
	interface Shape { default double area() { return 0; } }
	static int depth(int n) { return 1 + depth(n + 1); }
	static byte[] pack(byte[] b) throws IOException {
		var out = new ByteArrayOutputStream();
		try (var z = new GZIPOutputStream(out)) { z.write(b); }
		return out.toByteArray();
	}
	public static void main(String[] args) throws Exception {
		Map<String, List<Integer>> m = new TreeMap<>();
		for (int i = 0; i < 200000; i++)
			m.computeIfAbsent("k" + i % 1009, k -> new ArrayList<>()).add(i);
		System.out.println(m.values().stream().mapToLong(List::size).sum());
		System.out.println(IntStream.range(0, 1000000).parallel()
			.filter(i -> i % 7 == 3).mapToLong(i -> i).sum());
		ExecutorService pool = Executors.newFixedThreadPool(8);
		AtomicLong sum = new AtomicLong();
		List<Future<Integer>> f = new ArrayList<>();
		for (int t = 0; t < 64; t++) {
			int n = t;
			f.add(pool.submit(() -> {
				byte[][] junk = new byte[100][];
				for (int i = 0; i < 2000; i++)
					junk[i % 100] = new byte[i];
				sum.addAndGet(n);
				return junk[99].length;
			}));
		}
		for (var x : f)
			sum.addAndGet(x.get());
		pool.shutdown();
		System.out.println(sum + " " + pool.awaitTermination(9, TimeUnit.SECONDS));
		byte[] text = m.toString().getBytes();
		var in = new GZIPInputStream(new ByteArrayInputStream(pack(text)));
		System.out.println(Arrays.equals(in.readAllBytes(), text));
		System.out.println(HexFormat.of().formatHex(
			MessageDigest.getInstance("SHA-256").digest(text)));
		List<ByteBuffer> direct = new ArrayList<>();
		for (int i = 0; i < 500; i++)
			direct.add(ByteBuffer.allocateDirect(10000 + i).putInt(0, i));
		System.out.println(direct.stream().mapToInt(b -> b.getInt(0)).sum());
		direct = null;
		System.gc();
		try {
			depth(0);
		} catch (StackOverflowError e) {
			System.out.println("too deep");
		}
		try {
			Object o = null;
			for (int i = 0; i < 30000; i++)
				if (i > 29998)
					o.hashCode();
		} catch (NullPointerException e) {
			System.out.println("null");
		}
		try {
			long[][] big = new long[1000][];
			for (int i = 0; i < 1000; i++)
				big[i] = new long[10000000];
		} catch (OutOfMemoryError e) {
			System.out.println("no memory");
		}
		var p = new ProcessBuilder("sh", "-c", "cat; exit 3").start();
		p.getOutputStream().write("piped\n".getBytes());
		p.getOutputStream().close();
		System.out.print(new String(p.getInputStream().readAllBytes()));
		System.out.println(p.waitFor());
		Files.writeString(Path.of("out.txt"), m.get("k7").toString());
		System.out.println(new Point(1, 2) + " " + new Shape() { }.area());
		Runtime.getRuntime().addShutdownHook(new Thread(() ->
			System.out.println("hook")));
		System.err.println("to stderr");
		System.exit(6);
	}
}
END
	echo 'class Broken { int f() { return "no"; } }' >Broken.java
	echo 'class Throws { public static void main(String[] a) {
		throw new IllegalStateException("uncaught"); } }' >Throws.java
}

compiling()
{
	status javac -J-XX:-UsePerfData -d . "$input/Main.java" \
		"$input/Throws.java"
	status java -XX:-UsePerfData -Xmx200m -cp . Main
	status java -XX:-UsePerfData -Xmx200m -XX:+UseSerialGC -cp . Main
	status java -XX:-UsePerfData -cp . Throws
	status javac -J-XX:-UsePerfData -d . "$input/Broken.java"
	status java -XX:-UsePerfData NoSuchClass
}

compare compiling java javac
finish
