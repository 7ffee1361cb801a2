//! A program of the configuration, run for what it prints: bounded in time and in size, and ended with all that it started.
//!
//! Invariants:
//! - Whoever waits has an answer within [`Limits::time`], whatever the program does.
//! - A program that is given up is gone, and so is its process group; what made itself a group of its own is not ours to find.
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use std::{
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Between looks at whether a program that said all has ended.
const LOOK: Duration = Duration::from_millis(10);

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From its start to its end.
    pub(crate) time: Duration,
    /// Bytes on its standard output.
    pub(crate) bytes: usize,
}

/// What a program prints, once it has ended well. It blocks.
///
/// # Errors
/// What went wrong, without anything of what was printed.
pub(crate) fn printed(program: &str, arguments: &[String], limits: Limits) -> Result<Zeroizing<Vec<u8>>, String> {
    let until = Instant::now() + limits.time;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).process_group(0);
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let said = heard(&mut child, until, limits);
    match said.and_then(|said| Ok((said, ended(&mut child, until, limits)?))) {
        Ok((said, status)) if status.success() => Ok(said),
        Ok((_, status)) => Err(status.to_string()),
        Err(why) => {
            end(&mut child);
            Err(why)
        }
    }
}

/// All that it says, until it closes its output.
fn heard(child: &mut Child, until: Instant, limits: Limits) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut output = child.stdout.take().ok_or("its output is not there")?;
    // Made once, in full, so that no copy of a key stays behind where it grew.
    let mut said = Zeroizing::new(vec![0; limits.bytes.saturating_add(1)]);
    let mut length = 0_usize;
    loop {
        await_more(&output, until, limits)?;
        let room = said.get_mut(length..).filter(|room| !room.is_empty());
        let room = room.ok_or_else(|| format!("it printed more than {} bytes", limits.bytes))?;
        match output.read(room) {
            Ok(0) => break,
            Ok(n) => length = length.saturating_add(n),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(format!("its output: {e}")),
        }
    }
    said.truncate(length);
    Ok(said)
}

/// Until there is something to read, or nothing more will come.
fn await_more(output: &ChildStdout, until: Instant, limits: Limits) -> Result<(), String> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late(limits));
        }
        let left = Timespec::try_from(left).map_err(|e| e.to_string())?;
        match poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(format!("its output: {e}")),
        }
    }
}

/// How it ended. An error: it was not waited for.
fn ended(child: &mut Child, until: Instant, limits: Limits) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => return Ok(status),
            None if Instant::now() >= until => return Err(late(limits)),
            None => sleep(LOOK),
        }
    }
}

fn late(limits: Limits) -> String {
    format!("it had not ended after {} s, and was killed", limits.time.as_secs_f32())
}

/// Kills it with its process group, and waits for it: it leaves nothing in the table of processes.
fn end(child: &mut Child) {
    // INVARIANT: it was not waited for yet, so that its number is still its own, also where it ended and left others behind.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _gone = kill_process_group(group, Signal::KILL);
        let _reaped = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shell(script: &str, limits: Limits) -> Result<Zeroizing<Vec<u8>>, String> {
        printed("sh", &["-c".to_owned(), script.to_owned()], limits)
    }

    /// The number that a script wrote down.
    fn number(path: &Path) -> i32 {
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    /// Until there is no such process, or only what its parent has to take note of.
    fn is_gone(pid: i32) {
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let dead = |s: String| s.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
        let until = Instant::now() + Duration::from_secs(60);
        while !state().is_none_or(dead) {
            assert!(Instant::now() < until, "{pid} lives on");
            sleep(LOOK);
        }
    }

    #[test]
    fn what_is_printed_is_heard_up_to_its_bound() {
        let limits = Limits { time: Duration::from_secs(60), bytes: 8 };
        assert_eq!(shell("printf 1234; printf 5678", limits).unwrap().as_slice(), b"12345678");
        assert_eq!(shell("exit 0", limits).unwrap().as_slice(), b"");
        let said = shell("printf 123456789", limits).unwrap_err();
        assert_eq!(said, "it printed more than 8 bytes");
        let said = shell("printf the-key; exit 3", limits).unwrap_err();
        assert!(said.contains("3") && !said.contains("the-key"), "{said}");
        assert!(printed("/nowhere/at/all", &[], limits).is_err());
    }

    #[test]
    fn who_prints_for_ever_is_stopped_and_so_is_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let (child, own) = (dir.path().join("child"), dir.path().join("own"));
        let script = format!("sleep 600 & echo $! >{}; echo $$ >{}; exec yes", child.display(), own.display());
        let said = shell(&script, Limits { time: Duration::from_secs(600), bytes: 4096 }).unwrap_err();
        assert_eq!(said, "it printed more than 4096 bytes");
        is_gone(number(&child));
        assert!(!Path::new(&format!("/proc/{}", number(&own))).exists(), "it was waited for");
    }

    #[test]
    fn who_does_not_end_in_time_is_ended_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let (child, own) = (dir.path().join("child"), dir.path().join("own"));
        for script in [
            // It keeps its output, or has closed it, and lives on.
            "sleep 600 & echo $! >CHILD; echo $$ >OWN; wait",
            "exec >&-; sleep 600 & echo $! >CHILD; echo $$ >OWN; wait",
            // It has ended, and what it started keeps its output.
            "sleep 600 & echo $! >CHILD; echo $$ >OWN; exit 0",
        ] {
            let script = script.replace("CHILD", &child.to_string_lossy()).replace("OWN", &own.to_string_lossy());
            // It may take its time to begin with: what is to be shown needs both files.
            let said = (1..6).find_map(|n| {
                let said = shell(&script, Limits { time: Duration::from_secs(n * n), bytes: 8 }).unwrap_err();
                (child.exists() && own.exists()).then_some(said)
            });
            assert!(said.unwrap().starts_with("it had not ended after "));
            is_gone(number(&child));
            assert!(!Path::new(&format!("/proc/{}", number(&own))).exists(), "it was waited for");
            std::fs::remove_file(&child).unwrap();
            std::fs::remove_file(&own).unwrap();
        }
    }
}
