#!/usr/bin/env python3
"""The bank of Rinha de Backend 2024/Q1 as one would write it in an afternoon: Python's standard library
and SQLite (WAL, synchronous=NORMAL: what was answered survives a kill -9). It is here to be compared with.

    python3 sqlite_bank.py PORT DATABASE
"""

import json
import re
import sqlite3
import socket
import sys
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMITS = {1: 100_000, 2: 80_000, 3: 1_000_000, 4: 10_000_000, 5: 500_000}
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS client (id INTEGER PRIMARY KEY, limite INTEGER NOT NULL, saldo INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY, client INTEGER NOT NULL, valor INTEGER NOT NULL,
    tipo TEXT NOT NULL, descricao TEXT NOT NULL, realizada_em TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entry_of_client ON entry (client, id);
"""


class Bank:
    """One connection to the database, one transaction at a time."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.database.executescript(SCHEMA)
        for client, limit in LIMITS.items():
            self.database.execute("INSERT OR IGNORE INTO client VALUES (?, ?, 0)", (client, limit))

    def post(self, client, valor, tipo, descricao):
        """Limit and balance, or None: below the limit."""
        delta = valor if tipo == "c" else -valor
        with self.lock:
            self.database.execute("BEGIN IMMEDIATE")
            row = self.database.execute(
                "UPDATE client SET saldo = saldo + :delta WHERE id = :client"
                " AND (:delta > 0 OR saldo + :delta >= -limite) RETURNING limite, saldo",
                {"delta": delta, "client": client}).fetchone()
            if row:
                self.database.execute(
                    "INSERT INTO entry (client, valor, tipo, descricao, realizada_em) VALUES (?, ?, ?, ?, ?)",
                    (client, valor, tipo, descricao, now()))
            self.database.execute("COMMIT")
        return row

    def statement(self, client):
        """Limit, balance, and the last ten entries, newest first."""
        with self.lock:
            self.database.execute("BEGIN")
            limit, balance = self.database.execute(
                "SELECT limite, saldo FROM client WHERE id = ?", (client,)).fetchone()
            entries = self.database.execute(
                "SELECT valor, tipo, descricao, realizada_em FROM entry WHERE client = ? ORDER BY id DESC LIMIT 10",
                (client,)).fetchall()
            self.database.execute("COMMIT")
        return limit, balance, entries


def now():
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def is_transaction(body):
    valor, tipo, descricao = (body.get(name) for name in ("valor", "tipo", "descricao"))
    return (type(valor) is int and 0 < valor < 1 << 62 and tipo in ("c", "d")
            and isinstance(descricao, str) and 1 <= len(descricao) <= 10)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # Head and body in one write.
    bank = None

    def do_GET(self):
        found = re.fullmatch(r"/clientes/(\d+)/extrato", self.path)
        if not found or int(found[1]) not in LIMITS:
            return self.reply(404, {"error": "not found"})
        limit, balance, entries = self.bank.statement(int(found[1]))
        names = ("valor", "tipo", "descricao", "realizada_em")
        self.reply(200, {
            "saldo": {"total": balance, "data_extrato": now(), "limite": limit},
            "ultimas_transacoes": [dict(zip(names, entry)) for entry in entries],
        })

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = re.fullmatch(r"/clientes/(\d+)/transacoes", self.path)
        if not found or int(found[1]) not in LIMITS:
            return self.reply(404, {"error": "not found"})
        try:
            body = json.loads(text)
        except ValueError:
            return self.reply(400, {"error": "no JSON"})
        if not isinstance(body, dict) or not is_transaction(body):
            return self.reply(422, {"error": "invalid"})
        row = self.bank.post(int(found[1]), body["valor"], body["tipo"], body["descricao"])
        if row is None:
            return self.reply(422, {"error": "below the limit"})
        self.reply(200, {"limite": row[0], "saldo": row[1]})

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    request_queue_size = 1024


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    Handler.bank = Bank(path)
    server = Server(("127.0.0.1", port), Handler)
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
