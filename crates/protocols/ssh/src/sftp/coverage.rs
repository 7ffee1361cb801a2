//! What is understood: packets, extensions, and what each comes to. `docs/protocols/ssh.md` prints this.
use super::codec::kind;

/// A packet or an extension of SFTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name: `SSH_FXP_…`, or that of an extended request.
    pub name: &'static str,
    /// The packet's number; 200 for extended requests.
    pub number: u8,
    /// For an extension, the version in which it is understood.
    pub version: Option<&'static str>,
    /// What it asks for, or what becomes of it.
    pub treatment: &'static str,
}

const fn row(name: &'static str, number: u8, treatment: &'static str) -> Row {
    Row { name, number, version: None, treatment }
}

const fn extension(name: &'static str, version: &'static str, treatment: &'static str) -> Row {
    Row { name, number: kind::EXTENDED, version: Some(version), treatment }
}

/// Everything that is understood. Any other packet or extended request is answered
/// `SSH_FX_OP_UNSUPPORTED`, audited, and never forwarded.
pub const COVERAGE: &[Row] = &[
    row("SSH_FXP_INIT", kind::INIT, "rewritten to version 3 without extensions; below 3 ends the channel"),
    row("SSH_FXP_VERSION", kind::VERSION, "version 3, with the extensions below of those that the upstream has"),
    row(
        "SSH_FXP_OPEN",
        kind::OPEN,
        "`read_file` and `write_file`, by its flags; `alter_file` for attributes without `CREAT`",
    ),
    row("SSH_FXP_CLOSE", kind::CLOSE, "follows its handle"),
    row("SSH_FXP_READ", kind::READ, "follows its handle, opened for reading; what comes back is inspected"),
    row("SSH_FXP_WRITE", kind::WRITE, "follows its handle, opened for writing"),
    row("SSH_FXP_LSTAT", kind::LSTAT, "`list_files`"),
    row("SSH_FXP_FSTAT", kind::FSTAT, "follows its handle"),
    row("SSH_FXP_SETSTAT", kind::SETSTAT, "`alter_file`; `write_file` too where it sets the size"),
    row(
        "SSH_FXP_FSETSTAT",
        kind::FSETSTAT,
        "`alter_file` on the handle's path; `write_file` too where it sets the size",
    ),
    row("SSH_FXP_OPENDIR", kind::OPENDIR, "`list_files`"),
    row("SSH_FXP_READDIR", kind::READDIR, "follows its handle, a directory's"),
    row("SSH_FXP_REMOVE", kind::REMOVE, "`remove_file`"),
    row("SSH_FXP_MKDIR", kind::MKDIR, "`write_file`"),
    row("SSH_FXP_RMDIR", kind::RMDIR, "`remove_file`"),
    row("SSH_FXP_REALPATH", kind::REALPATH, "`list_files`; `connect` for `.` and the empty path"),
    row("SSH_FXP_STAT", kind::STAT, "`list_files`"),
    row("SSH_FXP_RENAME", kind::RENAME, "`read_file` and `remove_file` on the old path, `write_file` on the new one"),
    row("SSH_FXP_READLINK", kind::READLINK, "`list_files`"),
    row("SSH_FXP_SYMLINK", kind::SYMLINK, "`read_file` and `write_file` on both paths"),
    row("SSH_FXP_STATUS", kind::STATUS, "a reply to any request"),
    row("SSH_FXP_HANDLE", kind::HANDLE, "a reply to `OPEN`, `OPENDIR`"),
    row("SSH_FXP_DATA", kind::DATA, "a reply to `READ`"),
    row("SSH_FXP_NAME", kind::NAME, "a reply to `READDIR`, `REALPATH`, `READLINK`, `expand-path`, `home-directory`"),
    row("SSH_FXP_ATTRS", kind::ATTRS, "a reply to `STAT`, `LSTAT`, `FSTAT`"),
    row("SSH_FXP_EXTENDED", kind::EXTENDED, "by its name, where the upstream has the extension"),
    row(
        "SSH_FXP_EXTENDED_REPLY",
        kind::EXTENDED_REPLY,
        "a reply to `statvfs`, `fstatvfs`, `limits`, `users-groups-by-id`",
    ),
    extension("posix-rename@openssh.com", "1", "as `SSH_FXP_RENAME`"),
    extension("statvfs@openssh.com", "2", "`list_files`"),
    extension("fstatvfs@openssh.com", "2", "follows its handle"),
    extension("hardlink@openssh.com", "1", "`read_file` and `write_file` on both paths"),
    extension("fsync@openssh.com", "1", "follows its handle"),
    extension("lsetstat@openssh.com", "1", "as `SSH_FXP_SETSTAT`"),
    extension("limits@openssh.com", "1", "`connect`; the reply never promises more than Doorward lets through"),
    extension("expand-path@openssh.com", "1", "`list_files`; `connect` for `.`, `~` and the empty path"),
    extension("copy-data", "1", "follows its handles: one opened for reading, one for writing"),
    extension("home-directory", "1", "`connect`"),
    extension("users-groups-by-id@openssh.com", "1", "`connect`"),
];

/// The extension of this name and version, where it is understood.
pub(super) fn understood(name: &[u8], version: &[u8]) -> Option<(&'static str, &'static str)> {
    let found = COVERAGE.iter().find(|row| row.version.is_some() && row.name.as_bytes() == name)?;
    found.version.filter(|v| v.as_bytes() == version).map(|v| (found.name, v))
}
