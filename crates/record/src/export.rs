//! Recordings in other forms: JSON lines, and pcapng for Wireshark.
use crate::{
    reader::{Ending, ReadError, Reader},
    recording::{Direction, FrameBody},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use std::io::{self, Write};

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The recording cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The export cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes one JSON object a line: the meta data, each frame (bytes in base64), the ending.
///
/// # Errors
/// [`ExportError`].
pub fn export_json_lines(reader: &mut Reader, out: &mut impl Write) -> Result<(), ExportError> {
    let line = |out: &mut dyn Write, value: serde_json::Value| writeln!(out, "{value}");
    line(out, json!({ "recording": reader.meta() }))?;
    for frame in &mut *reader {
        let frame = frame?;
        let (seq, time) = (frame.seq, frame.time.as_micros());
        let value = match frame.body {
            FrameBody::Bytes(direction, bytes) => json!({ "seq": seq, "time": time, "direction": direction,
                "length": bytes.len(), "bytes": STANDARD.encode(bytes) }),
            FrameBody::Redacted { direction, len, why } => json!({ "seq": seq, "time": time,
                "direction": direction, "length": len, "redacted": why }),
            FrameBody::Gap { client, upstream } => json!({ "seq": seq, "time": time,
                "lost": { "client": client, "upstream": upstream } }),
            FrameBody::Meta(meta) => json!({ "seq": seq, "time": time, "meta": meta }),
        };
        line(out, value)?;
    }
    let end = match reader.ending() {
        Some(Ending::Footer { reason, finished, ended }) => {
            json!({ "end": reason, "finished": finished, "time": ended.as_micros() })
        }
        Some(Ending::NoFooter { offset, torn }) => {
            json!({ "end": format!("ends without footer at byte {offset}"), "finished": false, "torn": torn })
        }
        None => json!({ "end": "unknown", "finished": false }),
    };
    Ok(line(out, end)?)
}

/// Payload bytes of one fabricated TCP segment: fits any link.
const SEGMENT: usize = 1400;
const FIN: u8 = 0x11;
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;
const PUSH_ACK: u8 = 0x18;

/// The two ends of the fabricated conversation: addresses of TEST-NET-1 (RFC 5737), ports, next
/// sequence numbers. The client's first.
struct Conversation<'a, W: Write> {
    out: &'a mut W,
    next: [u32; 2],
    id: u16,
}

/// Writes a pcapng file in which the session is one TCP conversation of IPv4 packets without a link
/// layer, towards port 5432. Left-out bytes are shown as `*`; lost bytes are missing segments.
///
/// # Errors
/// [`ExportError`].
pub fn export_pcapng(reader: &mut Reader, out: &mut impl Write) -> Result<(), ExportError> {
    write_block(out, 0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_le_bytes(), &[1, 0, 0, 0], &[0xff; 8]])?;
    // LINKTYPE_RAW (101), no snap length, microseconds by default.
    write_block(out, 1, &[&[101, 0, 0, 0, 0, 0, 0, 0]])?;
    let mut talk = Conversation { out, next: [0, 0], id: 0 };
    let mut time = reader.meta().started.as_micros();
    talk.packet(Direction::Client, time, SYN, &[])?;
    talk.packet(Direction::Upstream, time, SYN_ACK, &[])?;
    talk.packet(Direction::Client, time, ACK, &[])?;
    for frame in reader {
        let frame = frame?;
        time = frame.time.as_micros();
        match frame.body {
            FrameBody::Bytes(direction, bytes) => talk.send(direction, time, &bytes)?,
            FrameBody::Redacted { direction, len, .. } => {
                let stars = [b'*'; SEGMENT];
                let mut left = len;
                while left > 0 {
                    let n = usize::try_from(left).unwrap_or(SEGMENT).min(SEGMENT);
                    talk.send(direction, time, stars.get(..n).unwrap_or_default())?;
                    left = left.saturating_sub(n as u64);
                }
            }
            FrameBody::Gap { client, upstream } => talk.skip(client, upstream),
            FrameBody::Meta(_) => {}
        }
    }
    talk.packet(Direction::Client, time, FIN, &[])?;
    talk.packet(Direction::Upstream, time, FIN, &[])?;
    talk.packet(Direction::Client, time, ACK, &[])?;
    Ok(())
}

impl<W: Write> Conversation<'_, W> {
    fn send(&mut self, from: Direction, time: u64, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(SEGMENT).try_for_each(|piece| self.packet(from, time, PUSH_ACK, piece))
    }

    /// Sequence numbers wrap, as TCP's do.
    fn skip(&mut self, client: u64, upstream: u64) {
        let low = |n: u64| u32::try_from(n & 0xffff_ffff).unwrap_or(0);
        let [c, u] = self.next;
        self.next = [c.wrapping_add(low(client)), u.wrapping_add(low(upstream))];
    }

    fn packet(&mut self, from: Direction, time: u64, flags: u8, payload: &[u8]) -> io::Result<()> {
        const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40000);
        const UPSTREAM: ([u8; 4], u16) = ([192, 0, 2, 2], 5432);
        let [c, u] = self.next;
        let ((src, sport), (dst, dport), seq, ack) = match from {
            Direction::Client => (CLIENT, UPSTREAM, c, u),
            Direction::Upstream => (UPSTREAM, CLIENT, u, c),
        };
        let ack = if flags & ACK == 0 { 0 } else { ack };
        let tcp_len = u16::try_from(payload.len().saturating_add(20)).unwrap_or(u16::MAX);
        let (sp, dp, seq_b, ack_b) = (sport.to_be_bytes(), dport.to_be_bytes(), seq.to_be_bytes(), ack.to_be_bytes());
        let tcp =
            |sum: [u8; 2]| [&sp[..], &dp, &seq_b, &ack_b, &[0x50, flags, 0xff, 0xff], &sum, &[0, 0], payload].concat();
        let pseudo = [&src[..], &dst, &[0, 6], &tcp_len.to_be_bytes(), &tcp([0, 0])].concat();
        let tcp = tcp(checksum(&pseudo).to_be_bytes());
        self.id = self.id.wrapping_add(1);
        let (total, id) = (tcp_len.saturating_add(20).to_be_bytes(), self.id.to_be_bytes());
        let ip = |sum: [u8; 2]| [&[0x45, 0][..], &total, &id, &[0x40, 0, 64, 6], &sum, &src, &dst].concat();
        let ip = ip(checksum(&ip([0, 0])).to_be_bytes());
        // SYN and FIN count as a byte each.
        let used = u32::from(flags & 0x03 != 0).wrapping_add(u32::from(tcp_len).wrapping_sub(20));
        match from {
            Direction::Client => self.next = [c.wrapping_add(used), u],
            Direction::Upstream => self.next = [c, u.wrapping_add(used)],
        }
        let len = u32::from(tcp_len).saturating_add(20).to_le_bytes();
        let high = u32::try_from(time >> 32).unwrap_or(0).to_le_bytes();
        let low = u32::try_from(time & 0xffff_ffff).unwrap_or(0).to_le_bytes();
        write_block(self.out, 6, &[&[0; 4], &high, &low, &len, &len, &ip, &tcp])
    }
}

/// One pcapng block: type, length, body padded to 32 bits, length.
fn write_block(out: &mut impl Write, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
    let mut body = parts.concat();
    body.resize(body.len().next_multiple_of(4), 0);
    let len = u32::try_from(body.len().saturating_add(12)).map_err(|_| io::Error::other("a block is too long"))?;
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(&body)?;
    out.write_all(&len.to_le_bytes())
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut sum: u64 = pairs.iter().map(|p| u64::from(u16::from_be_bytes(*p))).sum();
    sum = sum.saturating_add(odd.first().map_or(0, |b| u64::from(*b) << 8));
    while sum > 0xffff {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
