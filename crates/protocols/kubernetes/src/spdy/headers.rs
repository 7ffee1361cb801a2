//! Header blocks (§2.6.10): one zlib stream a side, begun with the dictionary, flushed after each block.
use super::FrameError;
use doorward_wire::Reader;
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_HAS_MORE_INPUT},
};
use std::fmt;

/// §2.6.10.1.
const DICTIONARY: &[u8] = include_bytes!("dictionary.bin");
/// What zlib calls it: its Adler-32 (RFC 1950 §2.2).
const DICTIONARY_ID: u32 = 0xe3c6_a7c2;
/// How far back deflate refers.
const WINDOW: usize = 32 * 1024;
/// The longest block, in bytes, once it is unpacked. Those of Kubernetes have one or three short headers.
const LONGEST: usize = 16 * 1024;
/// The most headers in a block.
const MOST: usize = 64;

/// Names, in lower case, and values.
pub type Headers = Vec<(String, String)>;

/// Reads header blocks of one side.
pub(super) struct Unpacker {
    inflate: Box<DecompressorOxide>,
    window: Box<[u8]>,
    at: usize,
    begun: bool,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Default for Unpacker {
    fn default() -> Self {
        let mut window = vec![0; WINDOW].into_boxed_slice();
        if let Some(start) = window.get_mut(..DICTIONARY.len()) {
            start.copy_from_slice(DICTIONARY);
        }
        Self { inflate: Box::default(), window, at: DICTIONARY.len(), begun: false }
    }
}

impl Unpacker {
    /// Reads a block.
    pub(super) fn block(&mut self, packed: &[u8]) -> Result<Headers, FrameError> {
        let mut packed = packed;
        if !self.begun {
            packed = zlib_head(packed)?;
            self.begun = true;
        }
        read(&self.unpack(packed)?)
    }

    fn unpack(&mut self, mut packed: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut out = Vec::new();
        loop {
            let (status, read, written) =
                decompress(&mut self.inflate, packed, &mut self.window, self.at, TINFL_FLAG_HAS_MORE_INPUT);
            let new = self.window.get(self.at..self.at.saturating_add(written)).ok_or(FrameError::Compression)?;
            if out.len() + new.len() > LONGEST {
                return Err(FrameError::HeadersTooLarge);
            }
            out.extend_from_slice(new);
            self.at = (self.at + written) % WINDOW;
            packed = packed.get(read..).ok_or(FrameError::Compression)?;
            // `Done` is a failure, too: the stream goes on for as long as the connection does.
            if status == TINFLStatus::NeedsMoreInput && packed.is_empty() {
                return Ok(out);
            }
            if status != TINFLStatus::HasMoreOutput {
                return Err(FrameError::Compression);
            }
        }
    }
}

/// The two bytes at the beginning (RFC 1950 §2.2), and the name of the dictionary.
fn zlib_head(packed: &[u8]) -> Result<&[u8], FrameError> {
    let mut r = Reader::new(packed, "header block");
    let head = r.u16()?;
    let is_deflate = head & 0x0f00 == 0x0800 && head >> 12 <= 7;
    let has_dictionary = head & 0x20 != 0;
    if !is_deflate || !has_dictionary || head % 31 != 0 || r.u32()? != DICTIONARY_ID {
        return Err(FrameError::Compression);
    }
    Ok(r.rest())
}

/// Names and values, each with its length.
fn read(block: &[u8]) -> Result<Headers, FrameError> {
    let mut r = Reader::new(block, "header block");
    let count = r.u32()? as usize;
    if count > MOST {
        return Err(FrameError::HeadersTooLarge);
    }
    let mut headers = Headers::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (text(&mut r)?, text(&mut r)?);
        let is_new = !headers.iter().any(|(known, _)| *known == name);
        let is_lower = !name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase() || b <= b' ');
        if !is_new || !is_lower {
            return Err(FrameError::Headers);
        }
        headers.push((name, value));
    }
    r.all()?;
    Ok(headers)
}

fn text(r: &mut Reader<'_>) -> Result<String, FrameError> {
    let length = r.u32()? as usize;
    String::from_utf8(r.bytes(length)?.to_vec()).map_err(|_| FrameError::Headers)
}

/// Writes header blocks of one side. They are stored, not packed: they are short, and what is not compressed together
/// tells nothing of the rest by its length (CRIME).
#[derive(Debug, Default)]
pub(super) struct Packer {
    begun: bool,
}

impl Packer {
    pub(super) fn block(&mut self, headers: &[(String, String)]) -> Vec<u8> {
        let mut plain = Vec::new();
        put_length(headers.len(), &mut plain);
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            put_length(text.len(), &mut plain);
            plain.extend_from_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(plain.len() + 32);
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(&[0x78, 0x20]);
            out.extend_from_slice(&DICTIONARY_ID.to_be_bytes());
        }
        // Stored blocks (RFC 1951 §3.2.4), and an empty one, at which readers take what they have.
        for piece in plain.chunks(usize::from(u16::MAX)).chain([&[][..]]) {
            let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
            out.push(0);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&(!length).to_le_bytes());
            out.extend_from_slice(piece);
        }
        out
    }
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}
