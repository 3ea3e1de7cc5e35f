"""valgrind_sites.py - is what bilge calls lost reachable for Valgrind?

    valgrind_sites.py exact|sites RECORD XML LOG

RECORD is bilge's; XML and LOG are of valgrind --xml=yes -v -v.  A site is a
call stack, as offsets into files: its innermost frames are compared, for the
two unwinders may stop at different depths.  Of a site that Valgrind knows, it
must count as lost

    exact   as many blocks as bilge does, or more: for programs that do the
            same in each run;
    sites   at least one, of the sites of direct leaks: what these hold may
            come from free lists of the program's own, and then from any site.
"""
import collections
import json
import os
import re
import sys
import xml.etree.ElementTree as ET

DEPTH = 8
LOST = {"Leak_DefinitelyLost", "Leak_IndirectlyLost", "Leak_PossiblyLost"}


def site(frames):
    return tuple(frames[:DEPTH])


def bilge_sites(path, kinds):
    modules = {}
    sites = collections.Counter()
    with open(path, encoding="utf-8", errors="surrogateescape") as record:
        events = [json.loads(line) for line in record]
    for event in events:
        if event["event"] == "module":
            modules[event["id"]] = os.path.basename(
                os.path.realpath(event["path"]))
        elif event["event"] == "leak" and event["kind"] in kinds:
            sites[site([
                (modules[f["module"]], int(f["offset"], 16))
                if f["module"] is not None else ("", 0)
                for f in event["frames"]])] += event["blocks"]
    if not any(event["event"] == "end" for event in events):
        sys.exit("bilge's record has no end")
    return sites


def load_biases(path):
    """Pairs of address and bias of each file, in the order of loading."""
    biases = collections.defaultdict(list)
    name = ""
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            match = re.search(r"Reading syms from (\S+)", line)
            if match:
                name = os.path.basename(os.path.realpath(match[1]))
            match = re.search(r"svma (0x\w+), avma (0x\w+)", line)
            if match:
                svma, avma = (int(n, 16) for n in match.groups())
                biases[name].append((avma, avma - svma))
    return biases


def valgrind_sites(path, biases):
    sites = collections.defaultdict(collections.Counter)
    total = collections.Counter()
    for error in ET.parse(path).getroot().iter("error"):
        kind = error.findtext("kind")
        if not kind.startswith("Leak_"):
            continue
        frames = []
        for frame in error.find("stack"):
            name = os.path.basename(os.path.realpath(
                frame.findtext("obj") or "/"))
            # The last one loaded is meant where there are several.
            bias = biases[name][-1][1] if biases[name] else 0
            # It tells where the call is; bilge, where it returns to.
            offset = int(frame.findtext("ip"), 16) - bias + 1
            if not name.startswith("vgpreload_"):
                frames.append((name, offset) if name else ("", 0))
        blocks = int(error.find("xwhat").findtext("leakedblocks"))
        sites[site(frames)][kind in LOST] += blocks
        total[kind in LOST] += blocks
    return sites, total


def show(frames):
    for name, offset in frames:
        print(f"        {name or '?'}+{offset:#x}")


def main():
    how, record, xml, log = sys.argv[1:]
    kinds = ("direct", "indirect") if how == "exact" else ("direct",)
    ours = bilge_sites(record, kinds)
    theirs, total = valgrind_sites(xml, load_biases(log))
    wrong = known = 0
    for frames, blocks in ours.items():
        lost, reachable = theirs[frames][True], theirs[frames][False]
        known += bool(lost or reachable)
        if lost >= blocks or reachable == 0 or (how == "sites" and lost):
            continue
        wrong += 1
        print(f"    {blocks} block(s) lost; Valgrind: {lost} lost, "
              f"{reachable} reachable")
        show(frames)
    print(f"    bilge: {sum(ours.values())} blocks lost in {len(ours)} sites, "
          f"{known} of them known to Valgrind: {total[True]} blocks lost, "
          f"{total[False]} reachable")
    # Reachable blocks there must be, or nothing was compared.
    return wrong > 0 or total[False] == 0


sys.exit(main())
