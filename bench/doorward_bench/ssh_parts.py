"""The servers of one run over SSH: two private sshd, Doorward. Each is stopped by its own pid."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .parts import Process, find, free_port, settings

POLICY = Path(__file__).resolve().parent.parent / "ssh.cedar"
DIRECT, JUMP, OURS, CLEAR = "direct", "jump", "doorward", "doorward-clear"

# Of OpenSSH's client programs: nothing of the developer's own, no questions, host keys checked.
CLIENT = """
Host *
HostName 127.0.0.1
BatchMode yes
ControlMaster no
ControlPath none
IdentitiesOnly yes
GlobalKnownHostsFile none
UserKnownHostsFile {folder}/known_hosts
StrictHostKeyChecking yes
UpdateHostKeys no
PreferredAuthentications publickey
LogLevel ERROR
KexAlgorithms curve25519-sha256
IgnoreUnknown ObscureKeystrokeTiming
ObscureKeystrokeTiming no
"""


@dataclass
class Target:
    """What a client connects to: a host of the run's ssh_config."""

    name: str
    config: Path
    pid: int | None  # of the proxy; None where there is none
    recordings: Path | None = None

    def command(self, program, *args):
        """`ssh`, `scp` or `sftp` with the run's configuration."""
        return [find(program, "/usr/bin"), "-F", str(self.config), *args]

    def ssh(self, *args):
        return self.command("ssh", self.name, *args)

    def forget(self):
        """Removes the recordings of sessions that are over: bulk would fill the disk with them."""
        for path in self.recordings.glob("*.dwr") if self.recordings else ():
            path.unlink()


def account():
    """Who logs in: whoever runs this. Another one would have to exist, with a shell, and not be locked."""
    return pwd.getpwuid(os.getuid()).pw_name


def new_key(path):
    subprocess.run([find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(path)], check=True)
    return path


def public(path):
    """A public key without its comment."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


class Client:
    """The configuration of OpenSSH's client programs for this run."""

    def __init__(self, folder, cipher):
        self.path, self.known = folder / "ssh_config", folder / "known_hosts"
        self.key = new_key(folder / "client-key")
        self.stanzas, self.defaults = {}, CLIENT.format(folder=folder) + (f"Ciphers {cipher}\n" if cipher else "")

    def add(self, host, port, host_key, *options):
        """A host; one of the same name gives way."""
        self.stanzas[host] = [f"Host {host}", f"Port {port}", *options]
        # The first value of an option counts, so what holds for all comes last.
        lines = [line for stanza in self.stanzas.values() for line in stanza]
        self.path.write_text("\n".join(lines) + "\n" + self.defaults)
        with open(self.known, "a") as known:
            known.write(f"[127.0.0.1]:{port} {host_key}\n")


class Sshd:
    """A private sshd on loopback for one account, with keys of this run."""

    def __init__(self, folder, name, keys):
        folder = folder / name
        folder.mkdir()
        self.port, self.host_key = free_port(), public(new_key(folder / "host_key"))
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # where sshd locks its unprivileged half in
        (folder / "authorized_keys").write_text("".join(f"{public(k)}\n" for k in keys))
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": self.port,
            "HostKey": folder / "host_key",
            "AuthorizedKeysFile": folder / "authorized_keys",
            "AuthenticationMethods": "publickey",
            "AllowUsers": account(),
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",
            "UsePAM": "no",
            "UseDNS": "no",
            "PidFile": "none",
            "PermitUserRC": "no",
            "SetEnv": f"HOME={folder}",  # a developer's .bashrc is not what is measured
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "MaxStartups": 2000,
            "Subsystem": "sftp internal-sftp",
        }
        config = folder / "sshd_config"
        config.write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
        args = [find("sshd", "/usr/sbin"), "-D", "-e", "-f", str(config)]
        self.process = Process(args, folder / "log", self.port, cwd="/")

    def target(self, name, client, pid, *options):
        client.add(name, self.port, self.host_key, f"User {account()}", f"IdentityFile {client.key}", *options)
        return Target(name, client.path, pid)

    def stop(self):
        self.process.stop()


class Doorward:
    """Doorward with policy, recording, strict audit and recognizers on."""

    def __init__(self, program, folder, sshd, key, issuer, sessions):
        self.program, self.issuer, self.sessions = program, issuer, sessions
        self.folder = folder / f"doorward-{sessions}"
        self.folder.mkdir()
        self.port, self.api = free_port(), free_port()
        config = self.folder / "doorward.toml"
        config.write_text(self._config(sshd, key))
        args = [program, "serve", "--config", str(config)]
        self.process = Process(args, self.folder / "log", self.port, cwd=self.folder)

    def _config(self, sshd, key):
        return settings("drain_seconds = 1", self.issuer, POLICY, self.api) + f"""
kind = "ssh"
listen = "127.0.0.1:{self.port}"
upstream = "127.0.0.1:{sshd.port}"
user = "{account()}"
credential = {{ file = "{key}" }}
host_keys = ["{sshd.host_key}"]
audit = "strict"
max_sessions = {self.sessions + 100}
"""

    def host_key(self):
        return " ".join((self.folder / "state/keys/ssh_host_ed25519_key.pub").read_text().split()[:2])

    def certificate(self, group):
        """A key with a certificate that says that its owner is in the group; the client's options for it."""
        key = self.folder / f"key-{group}"
        env = dict(os.environ, DOORWARD_TOKEN=self.issuer.token_of(f"of-{group}", group))
        command = [self.program, "ssh-cert", "--url", f"http://127.0.0.1:{self.api}", "--key", str(key), "--ttl", "12h"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"doorward ssh-cert: {done.stderr}")
        return [f"IdentityFile {key}", f"CertificateFile {key}-cert.pub"]

    def token(self, group):
        """A token that a program hands over; the client's options for it. The question begins with the user's name."""
        (self.folder / f"token-{group}").write_text(self.issuer.token_of(f"of-{group}", group))
        askpass = self.folder / "askpass"
        askpass.write_text(f'#!/bin/sh\ncat "{self.folder}/token-${{1%%@*}}"\n')
        askpass.chmod(0o700)
        os.environ |= {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
        return ["BatchMode no", "PubkeyAuthentication no", "PreferredAuthentications password"]

    def target(self, name, client, by_token):
        group = "trusted" if name == CLEAR else "bench"
        log_in = self.token(group) if by_token else self.certificate(group)
        client.add(name, self.port, self.host_key(), f"User {group}", *log_in)
        return Target(name, client.path, self.process.pid, self.folder / "state/recordings")

    def stop(self):
        self.process.stop()
