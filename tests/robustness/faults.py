"""The faults of the robustness tests. Each is a function of (cluster, rng) that does the harm and returns how to undo it.

What a fault chooses (whom, how long) comes from the random generator only, so that a seed gives the same schedule;
who leads at that moment does not.
"""
import os
import subprocess
import threading
import time


def nothing():
    pass


# ---- processes ----

def victims(cluster, rng, count):
    return rng.sample(cluster.members, count)


def leader_or_any(cluster, rng):
    other = rng.choice(cluster.members)
    return cluster.leader() or other


def kill_members(members):
    for m in members:
        m.kill()

    def undo():
        for m in members:
            m.start()
    return undo


def kill_one(cluster, rng):
    return kill_members(victims(cluster, rng, 1))


def kill_leader(cluster, rng):
    return kill_members([leader_or_any(cluster, rng)])


def kill_majority(cluster, rng):
    return kill_members(victims(cluster, rng, len(cluster.members) // 2 + 1))


def kill_all(cluster, rng):
    return kill_members(list(cluster.members))


def pause_members(members):
    for m in members:
        m.pause()

    def undo():
        for m in members:
            m.resume()
    return undo


def pause_one(cluster, rng):
    return pause_members(victims(cluster, rng, 1))


def pause_leader(cluster, rng):
    return pause_members([leader_or_any(cluster, rng)])


def pause_majority(cluster, rng):
    return pause_members(victims(cluster, rng, len(cluster.members) // 2 + 1))


# ---- network: what members do not hear; clients always reach their member ----

def set_cuts(cluster, deaf):
    """deaf: set of (member, other): `member` receives nothing from `other`."""
    for m in cluster.members:
        drops = "".join(f"        ip saddr {o.ip} drop\n" for a, o in deaf if a is m)
        m.nft("table inet cut\ndelete table inet cut\ntable inet cut {\n    chain in {\n"
              f"        type filter hook input priority 0;\n{drops}    }}\n}}\n")


def both_ways(groups):
    return {(a, b) for i, g in enumerate(groups) for a in g for j, h in enumerate(groups) if i != j for b in h}


def cut(cluster, deaf):
    set_cuts(cluster, deaf)
    return lambda: set_cuts(cluster, set())


def partition_half(cluster, rng):
    order = victims(cluster, rng, len(cluster.members))
    half = len(order) // 2
    return cut(cluster, both_ways([order[:half], order[half:]]))


def partition_leader(cluster, rng):
    leader = leader_or_any(cluster, rng)
    return cut(cluster, both_ways([[leader], [m for m in cluster.members if m is not leader]]))


def partition_one_way(cluster, rng):
    """One member is heard by nobody, or hears nobody."""
    chosen = leader_or_any(cluster, rng) if rng.random() < 0.5 else rng.choice(cluster.members)
    others = [m for m in cluster.members if m is not chosen]
    if rng.random() < 0.5:
        return cut(cluster, {(chosen, o) for o in others})
    return cut(cluster, {(o, chosen) for o in others})


def partition_ring(cluster, rng):
    """Each member sees its two neighbours only (with three members: a line, whose ends do not see each other)."""
    order = victims(cluster, rng, len(cluster.members))
    n = len(order)
    if n == 3:
        return cut(cluster, {(order[0], order[2]), (order[2], order[0])})
    near = {(order[i], order[(i + d) % n]) for i in range(n) for d in (-1, 1)}
    return cut(cluster, {(a, b) for a in order for b in order if a is not b} - near)


def flap(cluster, rng):
    """Halves that change several times a second."""
    stop = threading.Event()
    orders = [victims(cluster, rng, len(cluster.members)) for _ in range(40)]
    pauses = [0.1 + rng.random() for _ in range(40)]

    def change():
        for order, pause in zip(orders, pauses):
            half = len(order) // 2
            set_cuts(cluster, both_ways([order[:half], order[half:]]))
            if stop.wait(pause):
                break
            set_cuts(cluster, set())
            if stop.wait(pause / 2):
                break
    thread = threading.Thread(target=change, daemon=True)
    thread.start()

    def undo():
        stop.set()
        thread.join()
        set_cuts(cluster, set())
    return undo


def tell_proxies(cluster, line):
    for m in cluster.members:
        m.proxy.stdin.write(line + "\n")
        m.proxy.stdin.flush()


def delay(cluster, rng):
    """Every chunk between peers is late, by a time of its own per connection."""
    tell_proxies(cluster, f"delay {rng.choice([20, 80, 300, 900])}")
    return lambda: tell_proxies(cluster, "off")


def reorder(cluster, rng):
    """Messages between peers overtake each other, and some connections break."""
    tell_proxies(cluster, f"reorder {rng.choice([20, 80, 200])} {rng.choice([0, 1, 3])}")
    return lambda: tell_proxies(cluster, "off")


# ---- clocks ----

def set_clock(member, offset_s):
    temporary = member.clock + ".new"
    with open(temporary, "w") as f:
        f.write(f"{offset_s:+d}\n")
    os.replace(temporary, member.clock)


def clock(cluster, rng):
    """The wall clock of one member jumps by hours, to and fro."""
    member = leader_or_any(cluster, rng) if rng.random() < 0.5 else rng.choice(cluster.members)
    offset = rng.choice([-1, 1]) * rng.randrange(1, 100) * 3600
    set_clock(member, offset)
    cluster.clock_jumps += 1

    def undo():
        # the library reads the file again within a second, and only when asked for the time
        for _ in range(30):
            now = member.wall_clock()
            if now is not None and abs(now - time.time() - offset) < 60:
                cluster.clock_jumps_seen += 1
                break
            time.sleep(0.1)
        set_clock(member, 0)
    return undo


# ---- disks ----

def disk_full(cluster, rng):
    """One member's disk (a tmpfs) is full to the last byte. It may stop; with room again, and the alarm that it raised
    cleared by an operator, it must serve."""
    member = leader_or_any(cluster, rng) if rng.random() < 0.5 else rng.choice(cluster.members)
    filler = os.path.join(member.dir, "filler")
    member.expected_down = True
    with open(filler, "wb", buffering=0) as f:
        block = b"\0" * 65536
        try:
            while True:
                f.write(block)
        except OSError:
            pass

    def undo():
        os.unlink(filler)
        if not member.running():
            member.start()
        member.expected_down = False
        threading.Thread(target=clear_nospace, args=(cluster,), daemon=True).start()
    return undo


def clear_nospace(cluster):
    """As an operator does who has made room. A member that has not noticed yet may raise it again."""
    clear, deadline = 0, time.monotonic() + 30
    while clear < 5 and time.monotonic() < deadline:
        clear = 0 if cluster.disarm() else clear + 1
        time.sleep(0.5)


def disk_errors(cluster, rng):
    """Writes or flushes of one member fail, or are done by half. It may stop (LMDB takes even a short write for a failure);
    on a sound disk it must serve."""
    member = leader_or_any(cluster, rng) if rng.random() < 0.5 else rng.choice(cluster.members)
    member.expected_down = True
    member.tell_disk(rng.choice(["write-eio", "write-enospc", "write-short", "write-torn", "sync-eio", "sync-enospc"]))

    def undo():
        member.tell_disk("well")
        if not member.running():
            member.start()
        member.expected_down = False
    return undo


def flip_bits(member, rng):
    """Some bits of the state and the journal, among what is not zero; a journal's end is left alone, since a record
    that was never finished cannot be told from one that was and is broken."""
    files = []
    for top, _, names in os.walk(member.dir):
        for name in names:
            path = os.path.join(top, name)
            if os.path.getsize(path) >= 8192 and not name.startswith("lock"):
                files.append(path)
    for path in rng.sample(sorted(files), min(len(files), 2)):
        with open(path, "r+b") as f:
            for _ in range(rng.choice([1, 3, 20])):
                f.seek(rng.randrange(os.path.getsize(path) * 3 // 4) // 4096 * 4096)
                at, page = f.tell(), f.read(4096)
                used = [i for i, byte in enumerate(page) if byte]
                if used:
                    i = rng.choice(used)
                    f.seek(at + i)
                    f.write(bytes([page[i] ^ 1 << rng.randrange(8)]))


def bit_flip(cluster, rng):
    """A member's disk rots while it is down. It must find out, serve nothing of it, and be rebuilt from the others."""
    member = rng.choice(cluster.members)
    if member.replacing or any(m.kept_up for m in cluster.members if m is not member):
        return nothing  # one rotten disk is what a cluster must survive
    member.kill()
    flip_bits(member, rng)

    def undo():
        member.kept_up = True
        member.start()
    cluster.replace = replace  # should its promises be damaged: then it refuses to start
    return undo


def power_loss(cluster, rng):
    """One member, or all, lose power: what was not flushed is lost, torn or reordered."""
    members = list(cluster.members) if rng.random() < 0.3 else [leader_or_any(cluster, rng)]
    for m in members:
        m.power_off()

    def undo():
        for m in members:
            m.start()
    return undo


# ---- work of operators meanwhile ----

def in_background(work):
    """What lasts as long as it does: it is over when its undo is not busy any more."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def undo():
        thread.join()
    undo.busy = thread.is_alive
    return undo


def compact(cluster, rng):
    member = rng.choice(cluster.members)
    behind = rng.choice([0, 0, 5, 50, 500])
    physical = rng.random() < 0.5

    def work():
        out = cluster.etcdctl("endpoint", "status", "-w", "fields", member=member, timeout=5, check=False)
        if out is None:
            return
        revision = next((int(x.split(":")[1]) for x in out.splitlines() if x.startswith('"Revision"')), 0)
        if revision > behind:
            cluster.etcdctl("compaction", str(revision - behind), *(["--physical"] if physical else []),
                            member=member, timeout=10, check=False)
    return in_background(work)


def defrag(cluster, rng):
    member = rng.choice(cluster.members)
    return in_background(lambda: cluster.etcdctl("defrag", member=member, timeout=20, check=False))


def snapshot(cluster, rng):
    member = rng.choice(cluster.members)
    file = os.path.join(cluster.dir, "snapshot.db")

    def work():
        cluster.etcdctl("snapshot", "save", file, member=member, timeout=20, check=False)
        for name in (file, file + ".part"):
            if os.path.exists(name):
                os.unlink(name)
    return in_background(work)


def move_leader(cluster, rng):
    target = rng.choice(cluster.members)

    def work():
        status = cluster.status()
        leader, goal = cluster.leader(), status[cluster.members.index(target)]
        if leader and goal and leader is not target:
            cluster.etcdctl("move-leader", goal[0], member=leader, timeout=5, check=False)
    return in_background(work)


REPLACE_S = 120  # limit on replacing a member, with faults meanwhile


def replace_member(cluster, rng):
    """A member is removed, loses its disk, and comes back as a new one: learner first, then promoted."""
    victim = rng.choice(cluster.members)
    others = [m for m in cluster.members if m is not victim]
    helpers = [rng.choice(others) for _ in range(50)]
    if any(m.replacing for m in cluster.members):
        return nothing
    return replace(cluster, victim, helpers) or nothing


def replace(cluster, victim, helpers):
    """Begins to replace it, asking the helpers in turn; how to wait for the end. None: nobody knows of it."""
    before = cluster.member_list(helpers[0])
    old = before.get(victim.peer_url) if before else None
    if old is None:
        return None
    victim.expected_down = victim.in_replacement = True

    def step(helper):
        """One thing that is still to do; True when nothing is."""
        now = cluster.member_list(helper)
        if now is None:
            return False
        mine = now.get(victim.peer_url)
        if mine and mine[0] == old[0]:
            cluster.etcdctl("member", "remove", old[0], member=helper, timeout=5, check=False)
        elif mine is None:
            if victim.running():
                try:
                    victim.process.wait(10)  # whoever is removed stops by itself, when it hears of it
                    cluster.stopped_when_removed += 1
                except subprocess.TimeoutExpired:
                    victim.kill()
            victim.wipe()
            cluster.etcdctl("member", "add", victim.name, "--learner", "--peer-urls", victim.peer_url, member=helper,
                            timeout=5, check=False)
        elif not victim.running():
            names = {m.peer_url: m.name for m in cluster.members}
            victim.state, victim.initial = "existing", ",".join(f"{names[url]}={url}" for url in now)
            victim.start()
            victim.expected_down = True
        elif mine[1]:
            cluster.etcdctl("member", "promote", mine[0], member=helper, timeout=5, check=False)
        else:
            return True
        return False

    def work():
        deadline = time.monotonic() + REPLACE_S
        for n in range(10000):
            if step(helpers[n % len(helpers)]):
                cluster.replaced += 1
                break
            if time.monotonic() > deadline:
                cluster.complaints.append(f"{victim.name} was not replaced within {REPLACE_S} s: "
                                          f"{cluster.member_list(helpers[0])}")
                break
            time.sleep(0.1)
        victim.expected_down = victim.in_replacement = False
    return in_background(work)


ALL = {
    "kill-one": kill_one, "kill-leader": kill_leader, "kill-majority": kill_majority, "kill-all": kill_all,
    "pause-one": pause_one, "pause-leader": pause_leader, "pause-majority": pause_majority,
    "partition-half": partition_half, "partition-leader": partition_leader, "partition-one-way": partition_one_way,
    "partition-ring": partition_ring, "flap": flap, "delay": delay, "reorder": reorder, "clock": clock,
    "disk-full": disk_full, "disk-errors": disk_errors,
    "bit-flip": bit_flip, "power-loss": power_loss, "replace-member": replace_member, "compact": compact, "defrag": defrag, "snapshot": snapshot,
    "move-leader": move_leader,
}
