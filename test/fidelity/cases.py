#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tree can carry, as a list of cases that is the same for every protocol. A row of docs/FIDELITY.md each.

A case makes objects in a directory of its own at the source, and looks at them: a value for each name. What looks the same on the
target has come over. What does not must have been reported: the ledger names the object, or has an entry about the whole migration
for one of the case's topics (what the source cannot give, whatever the object). A loss that nobody was told of fails the test.

    cases.py make TREE DIR [CASE...]      the objects of the cases, below DIR. TREE: open, or closed, which not everything may be read of
    cases.py look TREE DIR [CASE...]      what they look like, as JSON
    cases.py mount TREE DIR [CASE...]     the same through a mount: what can be looked at there
    cases.py after TREE DIR [CASE...]     the same of what remains at the end

FIDELITY_ENTRIES: of the large directory (100,000)."""
import array
import errno
import fcntl
import hashlib
import json
import os
import socket
import stat
import struct
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable


@dataclass
class Case:
    name: str  # the directory
    title: str  # the row
    make: Callable[[], None]
    look: Callable[[], dict]  # name -> anything that JSON can say
    # Words of a report about the whole migration that explain a loss: its kind, and after a colon what else it must say. The first
    # that there is a report for.
    topics: tuple = ()
    tree: str = 'open'
    mount: bool = True  # look through the mount, too
    after: bool = True  # look at what remains


CASES = []


def case(name, title, look, topics=(), **more):
    def register(make):
        CASES.append(Case(name, title, make, look, topics, **more))
        return make
    return register


# --- what can be looked at ---------------------------------------------------------------------------------------------------------

def text(name):
    """A name, or other bytes, as JSON can hold them and a ledger's line shows them."""
    return os.fsdecode(name).encode('utf-8', 'surrogateescape').decode('latin-1')


def names():
    """All objects below here, deepest last, by paths."""
    found = []
    for top, dirs, files in os.walk(b'.', followlinks=False):
        found += [os.path.join(top, name)[2:] for name in sorted(dirs + files)]
    return found


def of_each(value):
    """A look: this value of every object that has one."""
    def look():
        found = {text(name): value(name) for name in names()}
        return {name: one for name, one in found.items() if one is not None}
    return look


def permissions(name):
    return oct(stat.S_IMODE(os.lstat(name).st_mode))


def owner(name):
    st = os.lstat(name)
    return [st.st_uid, st.st_gid]


def mtime_ns(name):
    return os.lstat(name).st_mtime_ns


def mtime_100ns(name):
    return os.lstat(name).st_mtime_ns // 100


def atime_ns(name):
    return os.lstat(name).st_atime_ns if not os.path.isdir(name) else None


def kind(name):
    st = os.lstat(name)
    device = [os.major(st.st_rdev), os.minor(st.st_rdev)] if stat.S_IFMT(st.st_mode) in (stat.S_IFCHR, stat.S_IFBLK) else None
    return [stat.S_IFMT(st.st_mode), device]


def link_text(name):
    return text(os.readlink(name)) if os.path.islink(name) else None


def data(name):
    if os.path.islink(name) or not os.path.isfile(name):
        return kind(name)
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(name, 'rb', buffering=0) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        return error.strerror
    return [os.lstat(name).st_size, digest.hexdigest()]


def extents(name):
    """Where data is, by blocks of 4 KiB."""
    found, at = [], 0
    with open(name, 'rb', buffering=0) as file:
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return found
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            found.append([at // 4096, (end + 4095) // 4096])
            at = end


def xattrs_like(*prefixes):
    def value(name):
        return {attr: os.getxattr(name, attr, follow_symlinks=False).hex()
                for attr in sorted(os.listxattr(name, follow_symlinks=False)) if attr.startswith(prefixes)}
    return value


FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FLAGS = {'immutable': 0x10, 'append-only': 0x20, 'no-dump': 0x40, 'compress': 0x4}


def inode_flags(name):
    word = array.array('l', [0])
    with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK), 'rb') as file:
        fcntl.ioctl(file, FS_IOC_GETFLAGS, word)
    return word[0] & sum(FLAGS.values())


def links():
    """Names of objects that have several."""
    groups = {}
    for name in names():
        st = os.lstat(name)
        if not stat.S_ISDIR(st.st_mode):
            groups.setdefault(st.st_ino, []).append(text(name))
    return {name: group for group in map(sorted, groups.values()) if len(group) > 1 for name in group}


# --- permissions, owners, times ----------------------------------------------------------------------------------------------------

def write(name, content=b'x'):
    with open(name, 'wb') as file:
        file.write(content)


@case('mode', 'permissions', of_each(permissions), ['mode'])
def make_mode():
    for mode in (0o000, 0o400, 0o444, 0o600, 0o640, 0o664, 0o777):
        write(f'file-{mode:03o}')
        os.chmod(f'file-{mode:03o}', mode)
        os.mkdir(f'dir-{mode:03o}')
        os.chmod(f'dir-{mode:03o}', mode)


@case('set-id', 'set-user-ID, set-group-ID and sticky bits', of_each(permissions), ['set-id', 'mode'])
def make_set_id():
    for mode in (0o4755, 0o2755, 0o6711, 0o1644):
        write(f'file-{mode:o}')
        os.chown(f'file-{mode:o}', 1234, 4321)
        os.chmod(f'file-{mode:o}', mode)
    for mode in (0o1777, 0o2775):
        os.mkdir(f'dir-{mode:o}')
        os.chmod(f'dir-{mode:o}', mode)


@case('owner', 'owner and group', of_each(owner), ['owner'])
def make_owner():
    for uid, gid in ((1, 2), (1000, 100), (65534, 65534), (4000000000, 4000000001)):
        write(f'file-{uid}')
        os.mkdir(f'dir-{uid}')
        os.symlink('file', f'link-{uid}')
        for what in ('file', 'dir', 'link'):
            os.chown(f'{what}-{uid}', uid, gid, follow_symlinks=False)


MOMENTS = {'ancient': -157766399_500000001, 'old': 981173106_123456789, 'last-second': 2147483647_999999999,
           'beyond-2038': 4102444800_000000001}


def make_moments(moments):
    for name, ns in moments.items():
        write(name)
        os.mkdir(name + '-dir')
        for one in (name, name + '-dir'):
            os.utime(one, ns=(ns, ns), follow_symlinks=False)


@case('mtime', 'time of modification, to 100 ns, from 1965 to 2100', of_each(mtime_100ns), ['times'])
def make_mtime():
    make_moments({name: ns // 100 * 100 for name, ns in MOMENTS.items()})


@case('mtime-ns', 'the same to the nanosecond', of_each(mtime_ns), ['times'])
def make_mtime_ns():
    make_moments(MOMENTS)


@case('atime', 'time of access', of_each(atime_ns))
def make_atime():
    for days in (1, 1000, 10000):
        write(f'{days}-days')
        ns = days * 86400 * 10**9 + 123456700
        os.utime(f'{days}-days', ns=(ns, ns))


# --- data --------------------------------------------------------------------------------------------------------------------------

@case('data', 'data and size; empty files and directories', of_each(data))
def make_data():
    for size in (0, 1, 4095, 4096, 4097, 1048575, 1048576, 1048577, 3000000):
        write(f'{size}', hashlib.shake_128(str(size).encode()).digest(size))
    os.mkdir('nothing')


@case('holes', 'holes', of_each(extents), ['holes'], mount=False)
def make_holes():
    for name, size, at in (('middle', 5 << 20, 2500000), ('end', 8 << 20, 0), ('begin', 3 << 20, (3 << 20) - 10)):
        with open(name, 'wb') as file:
            file.truncate(size)
            file.seek(at)
            file.write(b'island')
    with open('only', 'wb') as file:
        file.truncate(6 << 20)


def ends_of_large():
    with open('large', 'rb', buffering=0) as file:
        found = {'large': [os.fstat(file.fileno()).st_size]}
        for at in LARGE:
            file.seek(at - 1)
            found['large'].append(file.read(5).hex())
    return found


LARGE = (1, (1 << 32) - 1, (5 << 30) + 12345, (6 << 30) - 1)


@case('large', 'a file beyond 4 GiB, its data at both ends', ends_of_large, after=False)
def make_large():
    with open('large', 'wb') as file:
        file.truncate(6 << 30)
        for at in LARGE:
            file.seek(at)
            file.write(b'here'[:(6 << 30) - at])


# --- kinds of objects --------------------------------------------------------------------------------------------------------------

@case('hard-links', 'hard links, across directories', links, ['hard-link'])
def make_hard_links():
    for name in ('a', 'b'):
        os.mkdir(name)
    for name in ('two', 'three'):
        write(name, name.encode())
        os.link(name, 'a/' + name)
    os.link('three', 'b/another')
    write('one')


@case('symlinks', 'symbolic links: relative, absolute, dangling, long', of_each(link_text), ['reparse-point', 'other:symbolic'])
def make_symlinks():
    write('file')
    os.mkdir('dir')
    for name, goal in (('relative', b'file'), ('to-a-directory', b'dir'), ('absolute', b'/usr/bin/env'), ('dangling', b'no/such/file'),
                       ('itself', b'itself'), ('long', b'/'.join([b'x' * 200] * 19)), ('bytes', b'latin \xe9\xff')):
        os.symlink(goal, name)


@case('loops', 'symbolic links to the directory they are in, and to one above', of_each(link_text), ['reparse-point'])
def make_loops():
    os.makedirs('dir/below')
    write('dir/file')
    os.symlink('.', 'dir/here')
    os.symlink('../..', 'dir/below/up')


@case('special', 'FIFOs and sockets', of_each(kind), ['other:FIFO'])
def make_special():
    os.mkfifo('fifo')
    socket.socket(socket.AF_UNIX).bind('socket')


@case('devices', 'devices, with their numbers', of_each(kind), ['other:device'])
def make_devices():
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod('block', stat.S_IFBLK | 0o600, os.makedev(7, 99))
    os.mknod('large-numbers', stat.S_IFCHR | 0o600, os.makedev(4095, 1048575))


# --- attributes --------------------------------------------------------------------------------------------------------------------

@case('acl', 'POSIX ACLs', of_each(xattrs_like('system.posix_acl_access')), ['acl'])
def make_acl():
    write('file')
    os.mkdir('dir')
    subprocess.run(['setfacl', '-m', 'u:1234:rw,g:4321:r', 'file', 'dir'], check=True)


@case('acl-default', 'default ACLs, and objects that do not have what these gave', of_each(xattrs_like('system.posix_acl_')), ['acl'])
def make_acl_default():
    os.makedirs('dir/below')
    write('dir/without')
    subprocess.run(['setfacl', '-d', '-m', 'u:1234:rwx,o::-', 'dir'], check=True)
    write('dir/with')


@case('xattrs', 'extended attributes of users', of_each(xattrs_like('user.')), ['xattr'])
def make_xattrs():
    write('file')
    os.mkdir('dir')
    for name in ('file', 'dir'):
        os.setxattr(name, 'user.colour', b'green')
        os.setxattr(name, 'user.empty', b'')
        os.setxattr(name, 'user.bytes', bytes(range(256)))


@case('xattrs-root', 'extended attributes of the system (trusted), of links too', of_each(xattrs_like('trusted.')), ['xattr'])
def make_xattrs_root():
    write('file')
    os.setxattr('file', 'trusted.secret', b'\0\xff')
    os.symlink('file', 'link')
    os.setxattr('link', 'trusted.of-a-link', b'yes', follow_symlinks=False)


@case('capabilities', 'capabilities of programs', of_each(xattrs_like('security.capability')), ['capability'])
def make_capabilities():
    write('capable')
    subprocess.run(['setcap', 'cap_net_raw+ep', 'capable'], check=True)


@case('flags', 'inode flags: ' + ', '.join(FLAGS), of_each(inode_flags), ['flags'])
def make_flags():
    for name, flag in FLAGS.items():
        write(name)
        with open(name, 'rb') as file:
            word = array.array('l', [0])
            fcntl.ioctl(file, FS_IOC_GETFLAGS, word)
            word[0] |= flag
            fcntl.ioctl(file, FS_IOC_SETFLAGS, word)


# --- names -------------------------------------------------------------------------------------------------------------------------

def make_named(all_names):
    for name in all_names:
        write(name, name)


@case('names', 'names with blanks, quotes, percent signs, umlauts', of_each(data))
def make_names():
    make_named([b' two  blanks', b"'quoted'", b'per%cent%20&name#1+=;,@!$^`~{}[]()', '\u00e4\u20ac\U0001f4be'.encode(), b'.hidden', b'-option'])


@case('names-dos', 'names with characters that Windows forbids', of_each(data), ['name'])
def make_names_dos():
    make_named([b'a:b', b'a*b?c', b'<a|b>', b'"quoted"', b'back\\slash', b'new\nline', b'dot.', b'blank '])


@case('names-bytes', 'names that are not UTF-8', of_each(data), ['name'])
def make_names_bytes():
    make_named([b'latin \xe9\xff', b'\xc3', b'\xff' * 100])


@case('names-long', 'names of 255 bytes', of_each(data))
def make_names_long():
    make_named([b'n' * 255, '\u00e4'.encode() * 127])


@case('names-case', 'names that differ by case alone', of_each(data))
def make_names_case():
    make_named([b'Case', b'case', b'CASE'])


@case('deep', 'a path of 300 directories', lambda: depth())
def make_deep():
    for level in range(300):
        os.mkdir('directory')
        os.chdir('directory')
    write('bottom', b'deep')


def depth():
    level = 0
    while os.path.isdir('directory'):
        os.chdir('directory')
        level += 1
    with open('bottom', 'rb') as file:
        return {'directory': [level, text(file.read())]}


@case('many', 'a directory of 100,000 entries (over SMB 5,000)', lambda: {'.': entries()}, mount=False)
def make_many():
    for number in range(int(os.environ.get('FIDELITY_ENTRIES', 100000))):
        os.close(os.open(f'entry-{number:06}', os.O_CREAT | os.O_WRONLY, 0o644))


def entries():
    found = sorted(os.listdir(b'.'))
    return [len(found), hashlib.blake2b(b'/'.join(found)).hexdigest()[:32]]


# --- what SMB clients left: as Samba stores it -------------------------------------------------------------------------------------

def dosattrib(name):
    """DOS attributes, creation time."""
    try:
        blob = os.getxattr(name, 'user.DOSATTRIB')
    except OSError:
        return [None, None]
    _, version, _, valid, attributes, created = struct.unpack('<HHIIIQ', blob)
    return [attributes & ~0x30 if valid & 1 else None, created if valid & 0x10 else None]  # neither archive nor directory


def make_dosattrib(attributes, created):
    return struct.pack('<HHIIIQ', 0, 5, 5, 0x11, attributes, created)


@case('dos', 'DOS attributes', of_each(lambda name: dosattrib(name)[0]), ['dos-attributes', 'xattr'])
def make_dos():
    for name, attributes in (('hidden', 0x2), ('system', 0x4), ('hidden-and-system', 0x6), ('read-only', 0x1)):
        write(name)
        os.setxattr(name, 'user.DOSATTRIB', make_dosattrib(attributes, 126000000000000000))
    os.mkdir('dir')
    os.setxattr('dir', 'user.DOSATTRIB', make_dosattrib(0x12, 126000000000000000))


@case('created', 'creation time, as SMB has it', of_each(lambda name: dosattrib(name)[1]), ['dos-attributes', 'xattr'])
def make_created():
    for number in (1, 1234567):
        write(f'file-{number}')
        os.setxattr(f'file-{number}', 'user.DOSATTRIB', make_dosattrib(0x2, 126000000000000000 + number))


def sid(*numbers):
    return struct.pack('<BB', 1, len(numbers) - 1) + numbers[0].to_bytes(6, 'big') + struct.pack(f'<{len(numbers) - 1}I', *numbers[1:])


def make_descriptor():
    aces = b''
    for denies, mask, who in ((1, 0x2, sid(5, 21, 1, 2, 3, 1002)), (0, 0x1f01ff, sid(5, 21, 1, 2, 3, 1001)), (0, 0x1200a9, sid(1, 0))):
        aces += struct.pack('<BBHI', denies, 0, 8 + len(who), mask) + who
    dacl = struct.pack('<HHI', 2, 8 + len(aces), 3) + aces
    user, group = sid(5, 21, 1, 2, 3, 1001), sid(5, 21, 1, 2, 3, 513)
    at = 28  # from the version on
    return struct.pack('<HHIHHIIII', 1, 1, 0x20000, 1, 0x8004, at, at + len(user), 0, at + len(user) + len(group)) + user + group + dacl


def descriptor(name):
    """Owner, group and DACL of security.NTACL, whatever their places."""
    try:
        blob = os.getxattr(name, 'security.NTACL')
    except OSError:
        return None
    version = struct.unpack_from('<H', blob)[0]
    if version != 1:
        return f'version {version}'
    user, group, _, dacl = struct.unpack_from('<IIII', blob, 12)

    def take_sid(at):
        return blob[at:at + 8 + 4 * blob[at + 1]].hex()

    size = struct.unpack_from('<H', blob, dacl + 2)[0]
    return [take_sid(user), take_sid(group), blob[dacl:dacl + size].hex()]


@case('descriptor', 'security descriptors: owner, group, DACL', of_each(descriptor), ['xattr', 'acl'])
def make_descriptors():
    write('file')
    os.setxattr('file', 'security.NTACL', make_descriptor())


@case('streams', 'alternate data streams', of_each(xattrs_like('user.DosStream.')), ['streams', 'xattr'])
def make_streams():
    write('file', b'main')
    for name, content in (('first', b'stream one'), ('second', bytes(range(256)) * 4)):
        os.setxattr('file', f'user.DosStream.{name}:$DATA', content + b'\0')


# --- what may not be read ----------------------------------------------------------------------------------------------------------

@case('unreadable', 'what the server does not let us read (root squash, access denied)', of_each(data), tree='closed')
def make_unreadable():
    write('everybodys')
    write('secret', b'of root')
    os.chmod('secret', 0o600)
    os.mkdir('room', 0o700)
    write('room/inside')


# --- the commands ------------------------------------------------------------------------------------------------------------------

def make_all(top, chosen):
    for one in chosen:
        os.mkdir(os.path.join(top, one.name))
        os.chdir(os.path.join(top, one.name))
        one.make()


def look_all(top, chosen):
    found = {}
    for one in chosen:
        try:
            os.chdir(os.path.join(top, one.name))
            found[one.name] = one.look()
        except OSError as error:
            found[one.name] = {'.': f'cannot be looked at: {error.strerror}'}
    return found


def main():
    command, tree, top = sys.argv[1:4]
    chosen = [one for one in CASES if one.tree == tree and (one.name in sys.argv[4:] or not sys.argv[4:])]
    if command == 'make':
        make_all(os.path.abspath(top), chosen)
        return
    wanted = {'look': lambda one: True, 'mount': lambda one: one.mount, 'after': lambda one: one.after}[command]
    json.dump(look_all(os.path.abspath(top), [one for one in chosen if wanted(one)]), sys.stdout)


if __name__ == '__main__':
    main()
