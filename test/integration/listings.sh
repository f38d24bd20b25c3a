#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Several programs list one directory at once, each at its own pace: each sees every name once. The kernel's memory of the listing is
# taken away in between, as it does itself when memory is short, so that each piece is asked for.
. "$(dirname "$0")/lib.sh"

cat >lists.py <<'END'
import ctypes, os, random, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
path, seed = sys.argv[1], int(sys.argv[2])
there = sorted(os.listdir(path))


class Listing:
    def __init__(self, size):
        self.fd, self.buffer, self.names, self.ended = os.open(path, os.O_RDONLY), ctypes.create_string_buffer(size), [], False

    def step(self):
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        got = libc.syscall(217, self.fd, self.buffer, len(self.buffer))  # getdents64
        if got < 0:
            sys.exit(f"seed {seed}: {os.strerror(ctypes.get_errno())}")
        at = 0
        while at < got:
            length = struct.unpack_from("H", self.buffer, at + 16)[0]
            self.names.append(self.buffer.raw[at + 19 : at + length].split(b"\0")[0].decode())
            at += length
        self.ended = got == 0
        if self.ended:
            os.close(self.fd)


chance = random.Random(seed)
for turn in range(60):
    listings = [Listing(chance.choice((512, 4096, 65536))) for _ in range(3)]
    while going := [listing for listing in listings if not listing.ended]:
        chance.choice(going).step()
    for listing in listings:
        found = sorted(set(listing.names) - {".", ".."})
        if found != there or len(listing.names) != len(there) + 2:
            sys.exit(f"seed {seed} turn {turn}: {len(found)} names of {len(there)}, {len(listing.names)} entries")
END

[ "$(uname -m)" = x86_64 ] || skip 'knows the number of getdents64 for x86_64 alone'
mkdir -p source/d target
(cd source/d && seq -f 'a name of the usual length %g' 400 | xargs -d '\n' touch)
start one "$work/source" "$work/target"
seed=$RANDOM
check 'listings beside each other are whole' python3 lists.py "$work/target/d" $seed
