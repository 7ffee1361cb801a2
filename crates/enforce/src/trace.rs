//! What tracing asks of the parts that see a caller's own trace (W3C Trace Context), and what it is told.
use doorward_model::{RequestId, SessionId, Timestamp};
use std::fmt::Debug;

/// The caller's span that a request of its belongs to: the header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
    /// Whether the caller keeps it.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the header. None for what is not as W3C Trace Context (§3.2) has it: such a header is left alone.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hex::<1>(parts.next()?)?;
        let (trace, span, [flags]) = (hex(parts.next()?)?, hex(parts.next()?)?, hex::<1>(parts.next()?)?);
        let has_more = parts.next().is_some();
        if version == [0xff] || (version == [0] && has_more) || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Exactly so many bytes, in small letters.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N.checked_mul(2)? {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// A request to the API that was answered.
#[derive(Clone, Debug)]
pub struct HttpCall {
    /// The caller's trace.
    pub parent: Option<TraceParent>,
    /// The method.
    pub method: String,
    /// What was asked for, without names: `/api/v1/secrets`.
    pub route: String,
    /// The status of the answer.
    pub status: u16,
    /// When it came.
    pub began: Timestamp,
    /// When it was answered.
    pub ended: Timestamp,
}

/// Where traces go. Nothing here waits.
pub trait TraceSink: Send + Sync + Debug {
    /// A request of a session is part of a trace of the caller's.
    fn belongs(&self, session: SessionId, request: RequestId, parent: TraceParent);
    /// The API has answered.
    fn call(&self, call: HttpCall);
    /// How many spans were sent, and how many were not kept.
    fn counts(&self) -> (u64, u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_standard_says() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(good).unwrap();
        assert_eq!((parent.trace[0], parent.trace[15], parent.span[1], parent.sampled), (0x4b, 0x36, 0xf0, true));
        assert!(!TraceParent::parse(&good.replace("-01", "-00")).unwrap().sampled);
        // A later version may say more.
        assert_eq!(TraceParent::parse(&format!("{}-more", good.replacen("00", "cc", 1))), Some(parent));
        for bad in [
            "",
            "00",
            &format!("{good}-more"),
            &good.replacen("00", "ff", 1),
            &good.to_uppercase(),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
