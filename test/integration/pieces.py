#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network between a client and a server on which answers come in pieces.

usage: pieces.py PORT HOST HOST-PORT BYTES    what comes from the server goes on in pieces of so many bytes, with a pause after each

Ends when it is killed.
"""
import socket
import sys
import threading
import time


def hand_on(source, sink, piece):
    try:
        while data := source.recv(65536):
            for at in range(0, len(data), piece or len(data)):
                sink.sendall(data[at:at + (piece or len(data))])
                if piece:
                    time.sleep(0.0003)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        sink.close()


def connect(client, address, piece):
    server = socket.create_connection(address)
    for one in client, server:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=hand_on, args=(client, server, 0), daemon=True).start()
    threading.Thread(target=hand_on, args=(server, client, piece), daemon=True).start()


def main():
    port, host, host_port, piece = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connect(listener.accept()[0], (host, host_port), piece)


main()
