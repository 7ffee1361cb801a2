//! What clients ask for.
use super::codec::{self, Attrs, kind};
use doorward_wire::{Reader, WireError};

/// Looks at, or removes, what one path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathVerb {
    Lstat,
    Stat,
    Opendir,
    Readlink,
    Realpath,
    Statvfs,
    ExpandPath,
    Remove,
    Rmdir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttrsVerb {
    Setstat,
    Lsetstat,
    Mkdir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairVerb {
    Rename,
    PosixRename,
    Symlink,
    Hardlink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandleVerb {
    Close,
    Fstat,
    Readdir,
    Fsync,
    Fstatvfs,
}

/// Asks about the server or the account, not about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SelfVerb {
    Limits,
    HomeDirectory,
    UsersGroups,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    Open {
        path: &'a [u8],
        flags: u32,
        attrs: Attrs,
    },
    Path(PathVerb, &'a [u8]),
    Attrs(AttrsVerb, &'a [u8], Attrs),
    /// In the order in which they stand.
    Pair(PairVerb, &'a [u8], &'a [u8]),
    Handle(HandleVerb, &'a [u8]),
    Read {
        handle: &'a [u8],
        offset: u64,
        count: u32,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        data: &'a [u8],
    },
    Fsetstat(&'a [u8], Attrs),
    CopyData {
        from: &'a [u8],
        to: &'a [u8],
    },
    Own(SelfVerb),
}

/// What was read of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Ask(Ask<'a>),
    /// Nothing that is understood.
    Unknown {
        kind: u8,
        extension: Option<&'a [u8]>,
    },
    /// Its type is understood, its body is not of that type.
    Bad(WireError),
}

/// The number of a request and what it asks.
///
/// # Errors
/// Where there is no number, so that it cannot be answered.
pub(super) fn parse<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<(u32, Parsed<'a>), WireError> {
    let id = reader.u32()?;
    let extension = if kind == kind::EXTENDED {
        match codec::string(reader) {
            Ok(name) => Some(name),
            Err(e) => return Ok((id, Parsed::Bad(e))),
        }
    } else {
        None
    };
    let body = match extension {
        Some(name) => extended(name, reader),
        None => plain(kind, reader),
    };
    // What is left over could be read by another parser than ours.
    let whole = body.and_then(|ask| reader.all().map(|()| ask));
    Ok((
        id,
        match whole {
            Ok(Some(ask)) => Parsed::Ask(ask),
            Ok(None) => Parsed::Unknown { kind, extension },
            Err(e) => Parsed::Bad(e),
        },
    ))
}

fn plain<'a>(kind: u8, r: &mut Reader<'a>) -> Result<Option<Ask<'a>>, WireError> {
    Ok(Some(match kind {
        kind::OPEN => Ask::Open { path: codec::string(r)?, flags: r.u32()?, attrs: codec::attrs(r)? },
        kind::CLOSE => Ask::Handle(HandleVerb::Close, codec::string(r)?),
        kind::READ => Ask::Read { handle: codec::string(r)?, offset: codec::u64(r)?, count: r.u32()? },
        kind::WRITE => Ask::Write { handle: codec::string(r)?, offset: codec::u64(r)?, data: codec::string(r)? },
        kind::LSTAT => Ask::Path(PathVerb::Lstat, codec::string(r)?),
        kind::FSTAT => Ask::Handle(HandleVerb::Fstat, codec::string(r)?),
        kind::SETSTAT => Ask::Attrs(AttrsVerb::Setstat, codec::string(r)?, codec::attrs(r)?),
        kind::FSETSTAT => Ask::Fsetstat(codec::string(r)?, codec::attrs(r)?),
        kind::OPENDIR => Ask::Path(PathVerb::Opendir, codec::string(r)?),
        kind::READDIR => Ask::Handle(HandleVerb::Readdir, codec::string(r)?),
        kind::REMOVE => Ask::Path(PathVerb::Remove, codec::string(r)?),
        kind::MKDIR => Ask::Attrs(AttrsVerb::Mkdir, codec::string(r)?, codec::attrs(r)?),
        kind::RMDIR => Ask::Path(PathVerb::Rmdir, codec::string(r)?),
        kind::REALPATH => Ask::Path(PathVerb::Realpath, codec::string(r)?),
        kind::STAT => Ask::Path(PathVerb::Stat, codec::string(r)?),
        kind::RENAME => Ask::Pair(PairVerb::Rename, codec::string(r)?, codec::string(r)?),
        kind::READLINK => Ask::Path(PathVerb::Readlink, codec::string(r)?),
        kind::SYMLINK => Ask::Pair(PairVerb::Symlink, codec::string(r)?, codec::string(r)?),
        _ => {
            r.rest();
            return Ok(None);
        }
    }))
}

fn extended<'a>(name: &[u8], r: &mut Reader<'a>) -> Result<Option<Ask<'a>>, WireError> {
    Ok(Some(match name {
        b"posix-rename@openssh.com" => Ask::Pair(PairVerb::PosixRename, codec::string(r)?, codec::string(r)?),
        b"statvfs@openssh.com" => Ask::Path(PathVerb::Statvfs, codec::string(r)?),
        b"fstatvfs@openssh.com" => Ask::Handle(HandleVerb::Fstatvfs, codec::string(r)?),
        b"hardlink@openssh.com" => Ask::Pair(PairVerb::Hardlink, codec::string(r)?, codec::string(r)?),
        b"fsync@openssh.com" => Ask::Handle(HandleVerb::Fsync, codec::string(r)?),
        b"lsetstat@openssh.com" => Ask::Attrs(AttrsVerb::Lsetstat, codec::string(r)?, codec::attrs(r)?),
        b"limits@openssh.com" => Ask::Own(SelfVerb::Limits),
        b"expand-path@openssh.com" => Ask::Path(PathVerb::ExpandPath, codec::string(r)?),
        b"copy-data" => copy_data(r)?,
        b"home-directory" => {
            codec::string(r)?;
            Ask::Own(SelfVerb::HomeDirectory)
        }
        b"users-groups-by-id@openssh.com" => {
            codec::string(r)?;
            codec::string(r)?;
            Ask::Own(SelfVerb::UsersGroups)
        }
        _ => {
            r.rest();
            return Ok(None);
        }
    }))
}

fn copy_data<'a>(r: &mut Reader<'a>) -> Result<Ask<'a>, WireError> {
    let from = codec::string(r)?;
    r.bytes(16)?;
    let to = codec::string(r)?;
    r.bytes(8)?;
    Ok(Ask::CopyData { from, to })
}
