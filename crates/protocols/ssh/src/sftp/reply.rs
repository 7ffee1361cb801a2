//! What upstreams answer.
use super::codec::{self, kind};
use doorward_wire::{Reader, WireError};

/// The shape a reply must have, but for a status, which any request may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Status,
    Handle,
    Data,
    Names { one: bool },
    Attrs,
    FileSystem,
    Limits,
    Accounts,
}

/// A reply that has the shape it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    Status(u32),
    Handle(&'a [u8]),
    Data(&'a [u8]),
    Limits([u64; 4]),
    /// Walked to its end, and passed on as it is.
    Passed,
}

/// `SSH_FX_OK`.
pub(super) const OK: u32 = 0;

/// Reads the body of a reply behind its request's number. `None` where the request cannot have a reply of
/// this type.
pub(super) fn parse<'a>(kind: u8, shape: Shape, reader: &mut Reader<'a>) -> Result<Option<Reply<'a>>, WireError> {
    let reply = match (kind, shape) {
        (kind::STATUS, _) => status(reader)?,
        (kind::HANDLE, Shape::Handle) => Reply::Handle(codec::handle(reader)?),
        (kind::DATA, Shape::Data) => Reply::Data(codec::string(reader)?),
        (kind::NAME, Shape::Names { one }) => names(one, reader)?,
        (kind::ATTRS, Shape::Attrs) => {
            codec::attrs(reader)?;
            Reply::Passed
        }
        (kind::EXTENDED_REPLY, Shape::FileSystem) => {
            reader.bytes(11 * 8)?;
            Reply::Passed
        }
        (kind::EXTENDED_REPLY, Shape::Limits) => {
            Reply::Limits([codec::u64(reader)?, codec::u64(reader)?, codec::u64(reader)?, codec::u64(reader)?])
        }
        (kind::EXTENDED_REPLY, Shape::Accounts) => accounts(reader)?,
        _ => return Ok(None),
    };
    reader.all()?;
    Ok(Some(reply))
}

/// Servers there are that leave out the message, or its language.
fn status<'a>(reader: &mut Reader<'a>) -> Result<Reply<'a>, WireError> {
    let code = reader.u32()?;
    for _ in 0..2 {
        if reader.left() > 0 {
            codec::string(reader)?;
        }
    }
    Ok(Reply::Status(code))
}

fn names<'a>(one: bool, reader: &mut Reader<'a>) -> Result<Reply<'a>, WireError> {
    let count = reader.u32()?;
    if one && count != 1 {
        return Err(reader.invalid());
    }
    for _ in 0..count {
        codec::string(reader)?;
        codec::string(reader)?;
        codec::attrs(reader)?;
    }
    Ok(Reply::Passed)
}

/// Two lists of names, each in a string of its own.
fn accounts<'a>(reader: &mut Reader<'a>) -> Result<Reply<'a>, WireError> {
    for _ in 0..2 {
        let invalid = reader.invalid();
        let length = usize::try_from(reader.u32()?).map_err(|_| invalid)?;
        let mut list = reader.sub(length)?;
        while list.left() > 0 {
            codec::string(&mut list)?;
        }
    }
    Ok(Reply::Passed)
}
