"""KILL between sessions, for tests/mysql_upstream.rs: the token is the caller's, E2E_MYSQL_STRANGER another's."""

import os

import pymysql

from pymysql_client import PyMySql
from dbapi import expect

KNOWN_TO_NOBODY = 1094


def refused(act):
    try:
        act()
    except pymysql.Error as error:
        expect(KNOWN_TO_NOBODY, error.args[0])
        return
    raise AssertionError("it was killed")


def gone(conn):
    try:
        conn.ping(reconnect=False)
    except pymysql.Error:
        return True
    return False


def main():
    driver = PyMySql()
    mine, also_mine = driver.connect(), driver.connect()
    stranger = driver.connect(password=os.environ["E2E_MYSQL_STRANGER"])
    for kill in ("KILL {}", "KILL QUERY {}", "KILL CONNECTION {}"):
        refused(lambda kill=kill: mine.cursor().execute(kill.format(stranger.thread_id())))
    refused(lambda: mine.kill(stranger.thread_id()))
    # The server's own numbers mean nothing here.
    refused(lambda: mine.kill(1))
    expect([(1,)], driver.rows(stranger, "SELECT 1"))
    # A statement that does nothing is ended by nothing, and the session lives on.
    mine.cursor().execute(f"KILL QUERY {also_mine.thread_id()}")
    expect([(2,)], driver.rows(also_mine, "SELECT 2"))
    mine.kill(also_mine.thread_id())
    expect(True, gone(also_mine))
    expect([(3,)], driver.rows(mine, "SELECT 3"))
    print("ok kill")


main()
