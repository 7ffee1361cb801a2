//! The pace of a replay, and the keys that change it: space, `+`, `-`, `q`.
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    stdio::stdin,
    termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios},
};
use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// The longest time that nothing moves.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
const SLOWEST: f64 = 1.0 / 16.0;
const FASTEST: f64 = 256.0;
const CTRL_C: u8 = 3;

/// Waits as a recording did, and obeys keys meanwhile.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Times as fast; 0 does not wait.
    speed: f64,
    paused: bool,
    /// How the terminal was; none where keys are not read.
    before: Option<Termios>,
}

impl Keys {
    /// A pace without keys.
    pub(crate) const fn none(speed: f64) -> Self {
        Self { speed, paused: false, before: None }
    }

    /// Reads keys where standard input is a terminal. [`Keys::give_back`] has to follow.
    pub(crate) fn of_terminal(speed: f64) -> Self {
        let before = if std::io::stdin().is_terminal() { termios::tcgetattr(stdin()).ok() } else { None };
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            raw.special_codes[SpecialCodeIndex::VMIN] = 0;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
            if termios::tcsetattr(stdin(), OptionalActions::Now, &raw).is_err() {
                return Self::none(speed);
            }
        }
        Self { speed, paused: false, before }
    }

    /// The terminal is as it was.
    pub(crate) fn give_back(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing can be done where it is gone.
            let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }

    /// Waits as long as it took; false where the caller wants to end.
    pub(crate) fn wait(&mut self, time: Duration) -> bool {
        if self.before.is_none() {
            if self.speed > 0.0 {
                std::thread::sleep(scaled(time, self.speed));
            }
            return true;
        }
        // What is left, as it was recorded.
        let mut left = time.min(LONGEST_WAIT);
        loop {
            let begun = Instant::now();
            let pause = if self.paused {
                LONGEST_WAIT
            } else if self.speed > 0.0 {
                scaled(left, self.speed)
            } else {
                Duration::ZERO
            };
            let key = key_within(pause);
            if !self.paused {
                left = left.saturating_sub(begun.elapsed().mul_f64(self.speed.max(0.0)));
            }
            match key {
                Some(b'q' | CTRL_C) => return false,
                Some(b' ') => self.paused = !self.paused,
                Some(b'+') => self.speed = (self.speed * 2.0).min(FASTEST),
                Some(b'-') => self.speed = (self.speed / 2.0).max(SLOWEST),
                Some(_) => {}
                None if self.paused => {}
                None => return true,
            }
        }
    }
}

fn scaled(time: Duration, speed: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() / speed).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
}

/// A key, if one comes in time.
fn key_within(time: Duration) -> Option<u8> {
    let timeout = Timespec::try_from(time).ok()?;
    let standard_input = stdin();
    let mut wanted = [PollFd::new(&standard_input, PollFlags::IN)];
    poll(&mut wanted, Some(&timeout)).ok().filter(|n| *n > 0)?;
    let mut key = [0];
    match rustix::io::read(standard_input, &mut key) {
        Ok(1) => key.first().copied(),
        // Standard input has ended: as if nobody were there.
        _ => Some(b'q'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_speed_makes_it_fail() {
        for speed in [f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1.0] {
            assert!(scaled(Duration::from_secs(10), speed) <= LONGEST_WAIT);
        }
        assert_eq!(scaled(Duration::from_secs(10), 4.0), Duration::from_millis(2500));
        assert!(Keys::none(0.0).wait(Duration::MAX));
    }
}
