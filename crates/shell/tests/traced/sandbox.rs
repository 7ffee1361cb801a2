//! Where texts are run.
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// `nobody` of Debian.
const NOBODY: u32 = 65_534;

/// Programs that texts may run, if this machine has them.
const PROGRAMS: &str = "awk b2sum base32 base64 basename bash bunzip2 bzcat bzip2 cat chmod cksum cmp column comm cp csplit cut date dd \
    df diff dir dirname du egrep env expand expr factor false fgrep file find fmt fold grep gunzip gzip head hexdump id \
    install join jq link ln ls mawk md5sum mkdir mktemp mv nice nl nohup numfmt od paste pr printenv printf ptx readlink \
    realpath rev rm rmdir sdiff sed seq sh sha256sum shred shuf sort split stat stdbuf strings sum sync tac tail tar tee \
    test timeout touch tr tree true truncate tsort uname unexpand uniq unlink unxz unzip vdir wc xargs xxd xz xzcat zcat \
    zgrep zip zstd curl wget lsattr chown chgrp diff3 patch findmnt lsblk last who users w pgrep mountpoint hostname pathchk \
    nproc more sha1sum lscpu fallocate dmesg chcon";

/// What strace writes down.
const CALLS: &str = "trace=execve,execveat,openat,open,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,\
    symlink,symlinkat,mkdir,mkdirat,rmdir,truncate,chmod,fchmodat,chdir,fchdir,getdents64,clone,clone3,fork,vfork";

#[derive(Debug)]
pub(crate) struct Sandbox {
    root: PathBuf,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _may_stay = fs::remove_dir_all(&self.root);
    }
}

impl Sandbox {
    /// None, with a line that says so, where texts cannot be run safely or not be watched.
    pub(crate) fn prepare() -> Option<Self> {
        let root = std::env::temp_dir().join(format!("doorward-traced-{}", std::process::id()));
        let sandbox = Self { root };
        match sandbox.fill() {
            Ok(()) if sandbox.run("cat a").contains("/bin/cat\"") => Some(sandbox),
            other => {
                eprintln!("SKIPPED: this needs root, strace with the right to trace, unshare and setpriv ({other:?})");
                None
            }
        }
    }

    fn fill(&self) -> std::io::Result<()> {
        fs::create_dir_all(self.bin())?;
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o755))?;
        for name in PROGRAMS.split_whitespace() {
            let place = ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(name)).find(|p| p.exists());
            if let Some(place) = place {
                symlink(place, self.bin().join(name))?;
            }
        }
        // Only root may hand what it made to nobody.
        tree(&self.root.join("home"))
    }

    fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Runs a text in a directory of its own, and returns what strace wrote, with that directory as `~` and the programs
    /// in `/bin`.
    pub(crate) fn run(&self, text: &str) -> String {
        let home = self.root.join("home");
        let log = self.root.join("log");
        let _old = (fs::remove_dir_all(&home), fs::remove_dir_all(&log));
        tree(&home).unwrap();
        fs::create_dir_all(&log).unwrap();
        chown(&log, Some(NOBODY), Some(NOBODY)).unwrap();
        let trace = log.join("trace");
        let _whatever_status = Command::new("timeout")
            .args([
                "-s",
                "KILL",
                "2",
                "unshare",
                "-n",
                "-p",
                "-f",
                "--kill-child",
                "prlimit",
                "--fsize=1000000",
                "--nproc=200",
            ])
            .args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
            .args(["strace", "-f", "-qq", "-y", "-s", "4096", "-e", "signal=none", "-e", CALLS, "-o"])
            .arg(&trace)
            .args(["/bin/bash", "--norc", "-c", text])
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", &home)
            .env("TMPDIR", "/nonexistent")
            .env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin", self.bin().display()))
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let seen = String::from_utf8_lossy(&fs::read(&trace).unwrap_or_default()).into_owned();
        seen.replace(&home.display().to_string(), "~").replace(&self.bin().display().to_string(), "/bin")
    }
}

/// Small files, and directories with some in them.
fn tree(home: &Path) -> std::io::Result<()> {
    for directory in ["", "d", "d/s", "e", "g"] {
        fs::create_dir_all(home.join(directory))?;
    }
    for file in ["a", "b", "c", "d/a", "d/f", "d/s/f", "e/b", "e/h", "k.txt", "m.log"] {
        fs::write(home.join(file), format!("x {file}\n1 2 3\na\nb\nd/f\n"))?;
    }
    fs::write(home.join("n.json"), "{\"a\": [1, 2]}\n")?;
    fs::write(home.join("r.sh"), "#!/bin/sh\ntrue\n")?;
    fs::set_permissions(home.join("r.sh"), fs::Permissions::from_mode(0o755))?;
    own(home)
}

fn own(place: &Path) -> std::io::Result<()> {
    chown(place, Some(NOBODY), Some(NOBODY))?;
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        if path.is_dir() { own(&path)? } else { chown(&path, Some(NOBODY), Some(NOBODY))? }
    }
    Ok(())
}
