//! What the caller sees of a command, over either wire: masked output, and how it ended after all of it.
use super::{
    answer::{PAUSES, masker},
    session::Session,
};
use bytes::Bytes;
use doorward_detect::StreamMasker;
use doorward_kubernetes::{channel::Channel, render, status};
use std::{sync::Arc, time::Duration};

/// Bytes for the caller.
pub(super) type Piece = (Channel, Bytes);

/// The way of a command's output.
pub(super) struct Shown {
    session: Arc<Session>,
    /// For standard output and standard error; none where nothing is hidden from the caller.
    masks: Option<[Box<StreamMasker>; 2]>,
    status: Vec<u8>,
    /// Whether it was said how the command ended: what comes then is nobody's output.
    is_over: bool,
    /// Whether anything was said of how it ended, masked or not.
    is_told: bool,
    quiet: usize,
}

impl Shown {
    pub(super) fn new(session: &Arc<Session>) -> Self {
        let masks = masker(session).zip(masker(session)).map(|(a, b)| [a, b]);
        Self { session: Arc::clone(session), masks, status: Vec::new(), is_over: false, is_told: false, quiet: 0 }
    }

    /// What the caller is told where the API server ends a stream without a word of how the command ended: without it, a
    /// client would take that for success.
    pub(super) fn untold(&self) -> Option<render::Answer> {
        let what = "doorward: the API server ended the stream, and did not say how the command ended";
        (!self.is_told).then(|| render::status(500, "InternalError", what))
    }

    /// Something comes on a channel.
    pub(super) const fn note(&mut self, channel: Channel) {
        self.is_told |= matches!(channel, Channel::Error);
    }

    /// Whether everything goes as it comes.
    pub(super) const fn is_clear(&self) -> bool {
        self.masks.is_none()
    }

    /// How long what is held back may be, from now on.
    pub(super) fn pause(&self) -> Option<Duration> {
        let holds_back = self.masks.iter().flatten().any(|m| m.hold_back() > 0);
        PAUSES.get(self.quiet).copied().filter(|_| holds_back)
    }

    /// The pause is over.
    pub(super) fn overdue(&mut self) -> Vec<Piece> {
        let is_long = self.quiet > 0;
        self.quiet += 1;
        self.each(|mask, out| if is_long { mask.force(out) } else { mask.flush(out) })
    }

    /// What may go of these bytes.
    pub(super) fn data(&mut self, channel: Channel, bytes: Bytes) -> Vec<Piece> {
        self.quiet = 0;
        self.note(channel);
        let Some(masks) = &mut self.masks else { return vec![(channel, bytes)] };
        if self.is_over {
            return Vec::new();
        }
        let [stdout, stderr] = masks;
        let mask = match channel {
            Channel::Stdout => stdout,
            Channel::Stderr => stderr,
            Channel::Error => return self.outcome(&bytes),
            // There are no others towards the caller.
            Channel::Stdin | Channel::Resize => return Vec::new(),
        };
        let mut out = Vec::with_capacity(bytes.len());
        mask.push(&bytes, &mut out);
        vec![(channel, out.into())]
    }

    /// How the command ended waits for its last byte: a value could be cut in two.
    fn outcome(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let is_first = self.status.is_empty();
        let room = status::LONGEST.saturating_sub(self.status.len());
        self.status.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        // It comes in one piece, but from who means us ill.
        if is_first && status::is_whole(&self.status) { self.finish() } else { Vec::new() }
    }

    /// A channel has ended: what goes before its end.
    pub(super) fn end_of(&mut self, channel: Channel) -> Vec<Piece> {
        match channel {
            Channel::Error if !self.status.is_empty() => self.finish(),
            Channel::Stdout => self.last_of(0, channel),
            Channel::Stderr => self.last_of(1, channel),
            Channel::Error | Channel::Stdin | Channel::Resize => Vec::new(),
        }
    }

    fn last_of(&mut self, place: usize, channel: Channel) -> Vec<Piece> {
        let Some(mask) = self.masks.as_mut().filter(|_| !self.is_over).and_then(|m| m.get_mut(place)) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        mask.finish(&mut out);
        vec![(channel, out.into())]
    }

    /// The end: what is left of the output, then how it ended.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        if self.is_over {
            return Vec::new();
        }
        let mut out = self.each(StreamMasker::finish);
        if !self.status.is_empty() {
            self.is_over = true;
            let session = &self.session;
            let said = status::masked(&self.status, &mut |text| hidden(session, text));
            out.push((Channel::Error, said.into()));
        }
        out
    }

    fn each(&mut self, how: impl Fn(&mut StreamMasker, &mut Vec<u8>)) -> Vec<Piece> {
        let masks = self.masks.iter_mut().flatten();
        let one = |(channel, mask): (Channel, &mut Box<StreamMasker>)| {
            let mut out = Vec::new();
            how(mask, &mut out);
            (channel, Bytes::from(out))
        };
        [Channel::Stdout, Channel::Stderr].into_iter().zip(masks).map(one).collect()
    }
}

/// A text without what the caller may not see.
fn hidden(session: &Session, text: &str) -> String {
    let Some(mut mask) = masker(session) else { return text.to_owned() };
    let mut out = Vec::new();
    mask.push(text.as_bytes(), &mut out);
    mask.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}
