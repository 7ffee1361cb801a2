//! The lines of a private key, while they pass.
use crate::secrets;

/// Lines after the first that may be headers (RFC 1421 §4.4, RFC 9580 §6.2.2).
const MOST_HEADERS: u8 = 12;
/// More letters and digits in a row than words have.
const LONG_RUN: usize = 24;
/// The same with slashes, which are in paths too.
const LONG_RUN_WITH_SLASHES: usize = 48;
/// What lines of a key's body have at least.
const BODY: usize = 60;
/// Lines for which a key that was broken off may go on.
pub(super) const LAPSE: u8 = 32;
/// The longest last line.
pub(super) const LONGEST_END: usize = 80;

/// A key whose first line was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyBlock {
    headers: u8,
    in_body: bool,
}

const fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}

fn has_run(line: &[u8], least: usize, of: impl Fn(u8) -> bool) -> bool {
    line.split(|b| !of(*b)).any(|run| run.len() >= least)
}

/// What stands around the lines of files that are shown with line numbers, as differences, or in quotes.
const fn is_edge(b: u8) -> bool {
    b.is_ascii_digit() || matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b':' | b'|' | b'+' | b'-' | b'"' | b'\'' | b',')
}

impl KeyBlock {
    /// Where in a line the key ends, if it does.
    pub(super) fn end(line: &[u8]) -> Option<usize> {
        secrets::pem_end(line, 0)
    }

    /// Whether a line, or the beginning of one, can be of the key. Without this, a first line by itself
    /// (`head -1`) would hide all that ever follows.
    pub(super) fn holds(&self, line: &[u8]) -> bool {
        let from = line.iter().position(|b| !is_edge(*b)).unwrap_or(line.len());
        let middle = line.get(from..).unwrap_or_default();
        let to = middle.iter().rposition(|b| !is_edge(*b) || b.is_ascii_digit()).map_or(0, |i| i + 1);
        let middle = middle.get(..to).unwrap_or_default();
        middle.iter().all(|b| is_base64(*b) || *b == b'\\')
            || has_run(middle, LONG_RUN, |b| b.is_ascii_alphanumeric())
            || has_run(middle, LONG_RUN_WITH_SLASHES, is_base64)
            || (!self.in_body && self.headers < MOST_HEADERS && is_header(middle))
            || b"-----END ".starts_with(line)
            || (line.starts_with(b"-----END ") && line.len() < LONGEST_END && !line.ends_with(b"\n"))
    }

    /// Whether a line looks like one of the body of any key.
    pub(super) fn is_body(line: &[u8]) -> bool {
        has_run(line, BODY, is_base64)
    }

    /// A line of the key has passed.
    pub(super) fn pass(&mut self, line: &[u8]) {
        self.headers = self.headers.saturating_add(1);
        self.in_body |= has_run(line, LONG_RUN, |b| b.is_ascii_alphanumeric());
    }
}

fn is_header(line: &[u8]) -> bool {
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    (1..=32).contains(&name) && line.get(name) == Some(&b':') && matches!(line.get(name + 1), None | Some(b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_key() {
        let key = KeyBlock::default();
        for line in [
            "MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun\n",
            "    AB==\r\n",
            "",
            "Proc-Type: 4,ENCRYPTED\n",
            "12:AB==\n",
            "-MIIE\n",
            "deploy/key.pem:3:MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun",
            "-----END",
        ] {
            assert!(key.holds(line.as_bytes()), "{line}");
        }
        for line in ["user@host:~$ ", "# ", "total 12\n", "[ada@box src]$ ", "/usr/share/doc/openssl:$ "] {
            assert!(!key.holds(line.as_bytes()), "{line}");
        }
    }
}
