//! The streams between a caller and the cluster: the same numbers on both connections, opened by callers alone, one of a kind.
use super::{Frame, Headers};
use crate::channel::Channel;
use bytes::Bytes;

/// What cannot be, and whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// The caller's.
    #[error("the client: {0}")]
    Client(&'static str),
    /// The cluster's.
    #[error("the API server: {0}")]
    Upstream(&'static str),
}

/// What a caller's frame means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromCaller {
    /// A stream; with `fin` nothing will come on it.
    Opened(Channel, bool),
    /// Bytes; with `true` the last ones.
    Data(Channel, Bytes, bool),
    /// The stream is given up, with this status.
    Reset(Channel, u32),
    /// To be answered with the same number.
    Ping(u32),
    /// The caller leaves.
    Goodbye,
    /// Nothing that goes on.
    Nothing,
}

/// What a frame of the cluster's means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromUpstream {
    /// A stream was accepted; with `true` nothing will come on it.
    Accepted(Channel, bool),
    /// As with callers.
    Data(Channel, Bytes, bool),
    /// As with callers.
    Reset(Channel, u32),
    /// As with callers.
    Ping(u32),
    /// The cluster leaves.
    Goodbye,
    /// Nothing that goes on.
    Nothing,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    channel: Channel,
    is_accepted: bool,
    is_told: bool,
    caller_ended: bool,
    upstream_ended: bool,
}

/// The streams of an `exec` or `attach`.
#[derive(Debug, Default)]
pub struct Exchange {
    streams: Vec<Stream>,
    last: u32,
}

impl Exchange {
    /// A frame of the caller's.
    ///
    /// # Errors
    /// Where it cannot be.
    pub fn from_caller(&mut self, frame: Frame) -> Result<FromCaller, Misbehaved> {
        let (id, bytes, fin) = match frame {
            Frame::SynStream { id, associated, headers, fin, unidirectional } => {
                if associated != 0 || unidirectional {
                    return Err(Misbehaved::Client("a stream that depends on another, or goes one way"));
                }
                return self.open(id, &headers, fin);
            }
            Frame::Data { id, bytes, fin } => (id, bytes, fin),
            Frame::Headers { id, headers: _, fin } => (id, Bytes::new(), fin),
            Frame::RstStream { id, status } => {
                let stream = self.stream(id).ok_or(Misbehaved::Client(UNOPENED))?;
                let goes_on = !(stream.caller_ended && stream.upstream_ended);
                (stream.caller_ended, stream.upstream_ended) = (true, true);
                return Ok(if goes_on { FromCaller::Reset(stream.channel, status) } else { FromCaller::Nothing });
            }
            Frame::SynReply { .. } => return Err(Misbehaved::Client("an answer to a stream that nobody opened")),
            // Those of clients are odd; the others would be answers to ours (§2.6.5).
            Frame::Ping { id } => return Ok(if id % 2 == 1 { FromCaller::Ping(id) } else { FromCaller::Nothing }),
            Frame::GoAway { .. } => return Ok(FromCaller::Goodbye),
            Frame::Settings | Frame::WindowUpdate { .. } => return Ok(FromCaller::Nothing),
        };
        let stream = self.stream(id).ok_or(Misbehaved::Client(UNOPENED))?;
        // kubectl writes on when it has closed its standard input, and when the cluster has given it up.
        if stream.caller_ended {
            return Ok(FromCaller::Nothing);
        }
        stream.caller_ended = fin;
        let channel = stream.channel;
        let bytes = if channel.is_from_caller() { bytes } else { Bytes::new() };
        Ok(if bytes.is_empty() && !fin { FromCaller::Nothing } else { FromCaller::Data(channel, bytes, fin) })
    }

    fn open(&mut self, id: u32, headers: &Headers, fin: bool) -> Result<FromCaller, Misbehaved> {
        if id.is_multiple_of(2) || id <= self.last {
            return Err(Misbehaved::Client("a stream with a number that is not its to give"));
        }
        let name = headers.iter().find(|(name, _)| name == "streamtype").map(|(_, value)| value.as_str());
        let channel = name.and_then(Channel::named).ok_or(Misbehaved::Client("a stream of an unknown kind"))?;
        if self.streams.iter().any(|s| s.channel == channel) {
            return Err(Misbehaved::Client("two streams of a kind"));
        }
        self.last = id;
        let stream =
            Stream { id, channel, is_accepted: false, is_told: false, caller_ended: fin, upstream_ended: false };
        self.streams.push(stream);
        Ok(FromCaller::Opened(channel, fin))
    }

    /// A frame of the cluster's.
    ///
    /// # Errors
    /// Where it cannot be.
    pub fn from_upstream(&mut self, frame: Frame) -> Result<FromUpstream, Misbehaved> {
        let unopened = Misbehaved::Upstream(UNOPENED);
        let (id, bytes, fin) = match frame {
            Frame::SynStream { .. } => return Err(Misbehaved::Upstream("a stream that it opens")),
            Frame::SynReply { id, headers: _, fin } => {
                let stream = self.stream(id).ok_or(unopened)?;
                if stream.is_accepted {
                    return Err(Misbehaved::Upstream("two answers to one stream"));
                }
                stream.is_accepted = true;
                if stream.upstream_ended {
                    return Ok(FromUpstream::Nothing);
                }
                stream.upstream_ended = fin;
                return Ok(FromUpstream::Accepted(stream.channel, fin));
            }
            Frame::Data { id, bytes, fin } => (id, bytes, fin),
            Frame::Headers { id, headers: _, fin } => (id, Bytes::new(), fin),
            Frame::RstStream { id, status } => {
                let stream = self.stream(id).ok_or(unopened)?;
                let goes_on = !(stream.caller_ended && stream.upstream_ended);
                (stream.caller_ended, stream.upstream_ended) = (true, true);
                return Ok(if goes_on { FromUpstream::Reset(stream.channel, status) } else { FromUpstream::Nothing });
            }
            Frame::Ping { id } => {
                return Ok(if id.is_multiple_of(2) { FromUpstream::Ping(id) } else { FromUpstream::Nothing });
            }
            Frame::GoAway { .. } => return Ok(FromUpstream::Goodbye),
            Frame::Settings | Frame::WindowUpdate { .. } => return Ok(FromUpstream::Nothing),
        };
        let stream = self.stream(id).ok_or(unopened)?;
        if stream.upstream_ended {
            return Ok(FromUpstream::Nothing);
        }
        if !stream.is_accepted {
            return Err(Misbehaved::Upstream("bytes on a stream that it has not accepted"));
        }
        stream.upstream_ended = fin;
        let channel = stream.channel;
        let bytes = if channel.is_from_caller() { Bytes::new() } else { bytes };
        Ok(if bytes.is_empty() && !fin { FromUpstream::Nothing } else { FromUpstream::Data(channel, bytes, fin) })
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|s| s.id == id)
    }

    /// The number of a channel's stream; none where it was not opened.
    pub fn id(&self, channel: Channel) -> Option<u32> {
        self.streams.iter().find(|s| s.channel == channel).map(|s| s.id)
    }

    /// Whether the caller may still be told something on it.
    pub fn can_tell(&self, channel: Channel) -> bool {
        self.streams.iter().any(|s| s.channel == channel && s.is_told && !s.upstream_ended)
    }

    /// Whether bytes may go upstream on it: before it is accepted they are lost there.
    pub fn is_accepted(&self, channel: Channel) -> bool {
        self.streams.iter().any(|s| s.channel == channel && (s.is_accepted || s.upstream_ended))
    }

    /// Whether the caller has yet to hear that the stream is accepted; from now on it has.
    pub fn tell(&mut self, channel: Channel) -> bool {
        let stream = self.streams.iter_mut().find(|s| s.channel == channel);
        stream.is_some_and(|s| !std::mem::replace(&mut s.is_told, true))
    }

    /// The channels, in the order in which they were opened.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        self.streams.iter().map(|s| s.channel)
    }

    /// The number of the last stream.
    pub const fn last(&self) -> u32 {
        self.last
    }
}

const UNOPENED: &str = "a frame on a stream that nobody opened";
