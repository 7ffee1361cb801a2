//! `doorward backup` and `doorward restore`: the state folder as one archive, taken while the gateway runs.
//!
//! The database comes first, then the audit log, then recordings: so nothing in the archive speaks of what is not in it. An exporter's
//! cursor is never ahead of the log, and a recording that is there too much harms nobody.
use crate::{
    cli::{BackupArgs, RestoreArgs},
    state,
};
use anyhow::{Context as _, Result, bail};
use doorward_record::{copy_log, mark_restored};
use doorward_store::{copy_database, settle_restored};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

/// The first entry: what the archive is.
const LABEL: &str = "doorward-backup.json";
/// What an archive says of itself.
#[derive(Serialize, Deserialize)]
struct Label {
    /// The version that wrote it.
    doorward: String,
    /// When, for people.
    taken: String,
    /// Whether the keys are in it.
    keys: bool,
}

/// The last entry: without it the archive is cut off.
const END: &str = "doorward-backup.end";
/// What a label may be long.
const LONGEST_LABEL: u64 = 64 << 10;

pub(crate) fn back_up(args: &BackupArgs) -> Result<()> {
    let state = &state::dir(&args.state)?;
    if !state.join("doorward.db").is_file() {
        bail!("{} is no state folder: there is no doorward.db in it", state.display());
    }
    if args.to == Path::new("-") {
        if io::IsTerminal::is_terminal(&io::stdout()) {
            bail!("an archive is nothing for a terminal: give --to FILE, or pipe it somewhere");
        }
        let mut out = archive(state, !args.without_keys, io::stdout().lock())?;
        return Ok(out.flush()?);
    }
    // Under its name only when it is whole.
    let folder = args.to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = || format!("cannot write {}", args.to.display());
    // A new file, for its owner alone.
    let part = tempfile::Builder::new().prefix(".doorward-backup-").tempfile_in(folder).with_context(wrong)?;
    let out = archive(state, !args.without_keys, io::BufWriter::new(part)).with_context(wrong)?;
    let part = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(wrong)?;
    part.as_file().sync_all().with_context(wrong)?;
    part.persist(&args.to).with_context(wrong)?;
    let bytes = fs::metadata(&args.to)?.len();
    eprintln!("{} holds the state in {}: {bytes} bytes", args.to.display(), state.display());
    if !args.without_keys {
        eprintln!("its keys are in it: whoever has the file can sign audit entries and open the secrets of the store");
    }
    Ok(())
}

fn archive<W: Write>(state: &Path, with_keys: bool, out: W) -> Result<W> {
    let mut tar = tar::Builder::new(out);
    tar.mode(tar::HeaderMode::Deterministic);
    let now = state::time(SystemTime::now().into());
    let label = Label { doorward: env!("CARGO_PKG_VERSION").to_owned(), taken: now, keys: with_keys };
    put(&mut tar, LABEL, serde_json::to_string(&label)?.as_bytes(), None)?;

    let copy = tempfile::Builder::new().prefix("doorward-backup-").tempdir_in(state)?;
    let database = copy.path().join("doorward.db");
    crate::runtime()?.block_on(copy_database(state, &database)).context("the database")?;
    let file = File::open(&database)?;
    let length = file.metadata()?.len();
    put(&mut tar, "doorward.db", file, Some(length))?;

    copy_log(&state.join("audit"), |name, file, length| {
        put(&mut tar, &format!("audit/{name}"), file, Some(length)).map_err(io::Error::other)
    })
    .context("the audit log")?;
    folder(&mut tar, state, "recordings")?;
    if with_keys {
        folder(&mut tar, state, "keys")?;
    }
    for name in ["dev-tls.crt", "dev-tls.key"] {
        if let Ok(file) = File::open(state.join(name)) {
            let length = file.metadata()?.len();
            put(&mut tar, name, file, Some(length))?;
        }
    }
    put(&mut tar, END, io::empty(), Some(0))?;
    Ok(tar.into_inner()?)
}

/// Files of a folder, as long as they are now: those that grow end in the archive where they are.
fn folder<W: Write>(tar: &mut tar::Builder<W>, state: &Path, name: &str) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(state.join(name))?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let file = match File::open(entry.path()) {
            Ok(file) => file,
            // Retention took it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| entry.path().display().to_string()),
        };
        let about = file.metadata()?;
        if about.is_file() {
            put(tar, &format!("{name}/{}", entry.file_name().to_string_lossy()), file, Some(about.len()))?;
        }
    }
    Ok(())
}

fn put<W: Write>(tar: &mut tar::Builder<W>, name: &str, from: impl io::Read, length: Option<u64>) -> Result<()> {
    let mut bytes = Vec::new();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    let result = if let Some(length) = length {
        header.set_size(length);
        // What is shorter by now would leave an archive that cannot be read.
        tar.append_data(&mut header, name, from.take(length).chain(io::repeat(0)).take(length))
    } else {
        from.take(LONGEST_LABEL).read_to_end(&mut bytes)?;
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice())
    };
    result.with_context(|| name.to_owned())
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<()> {
    let state = &state::dir(&args.state)?;
    if state.exists() && fs::read_dir(state)?.next().is_some() {
        bail!("{} is not empty: a back-up is restored into a folder of its own", state.display());
    }
    let from: Box<dyn io::Read> = if args.from == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.from).with_context(|| format!("cannot read {}", args.from.display()))?)
    };
    // Beside it, and under its name only when all of it is there; within it where it is there already: it may be a volume.
    let within = state.exists();
    let part = if within { state.join(".restoring") } else { state.with_extension("restoring") };
    if part.exists() {
        bail!("{} is left from a restore that did not end: remove it", part.display());
    }
    folder_for(&part)?;
    let label = unpack(from, &part).and_then(|label| {
        let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".into());
        mark_restored(&part.join("audit"), &format!("It was taken at {}, and restored by {by}.", label.taken))?;
        crate::runtime()?.block_on(settle_restored(&part, SystemTime::now().into())).context("the database")?;
        if within {
            // The database comes last: without it nobody takes the folder for a state.
            for name in ["audit", "recordings", "keys", "dev-tls.crt", "dev-tls.key", "doorward.db"] {
                if part.join(name).exists() {
                    fs::rename(part.join(name), state.join(name))?;
                }
            }
            fs::remove_dir_all(&part)?;
        } else {
            fs::rename(&part, state)?;
        }
        Ok(label)
    });
    if label.is_err() {
        let _best_effort = fs::remove_dir_all(&part);
    }
    let label = label?;
    eprintln!("{} is what it was at {}", state.display(), label.taken);
    if !label.keys {
        eprintln!("put the keys folder back into it before `doorward serve`: it is not in this back-up");
    }
    Ok(())
}

fn folder_for(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))
}

fn unpack(from: impl io::Read, to: &Path) -> Result<Label> {
    let mut archive = tar::Archive::new(from);
    let mut entries = archive.entries()?;
    let first = entries.next().context("it is empty")?.context("it is no archive")?;
    if first.path()?.as_os_str() != LABEL {
        bail!("it is no back-up of doorward: it does not begin with {LABEL}");
    }
    let mut label = String::new();
    first.take(LONGEST_LABEL).read_to_string(&mut label)?;
    let label: Label = serde_json::from_str(&label).context(LABEL)?;
    for name in ["audit", "recordings", "keys"] {
        folder_for(&to.join(name))?;
    }
    let mut is_whole = false;
    for entry in entries {
        let mut entry = entry.context("the archive is cut off or damaged")?;
        if is_whole {
            bail!("there is more in the archive after its end");
        }
        if entry.path()?.as_os_str() == END {
            is_whole = to.join("doorward.db").exists();
            continue;
        }
        let path = to.join(inside(&entry.path()?)?);
        if entry.header().entry_type() != tar::EntryType::Regular {
            bail!("`{}` in the archive is no file", entry.path()?.display());
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let size = entry.size();
        let copied = io::copy(&mut entry, &mut file).context("the archive is cut off or damaged")?;
        if copied != size {
            bail!("the archive is cut off: `{}` is not whole", path.display());
        }
        file.sync_all()?;
    }
    if !is_whole {
        bail!("the archive is cut off: its end is missing");
    }
    Ok(label)
}

/// A path that stays where it is put: a file of the state folder, or of a folder in it.
fn inside(path: &Path) -> Result<PathBuf> {
    let parts: Vec<_> = path.components().collect();
    let plain = parts.iter().all(|p| matches!(p, Component::Normal(_)));
    let known = match parts.as_slice() {
        [_] => true,
        [folder, _] => ["audit", "recordings", "keys"].iter().any(|f| folder.as_os_str() == *f),
        _ => false,
    };
    if plain && known { Ok(path.to_path_buf()) } else { bail!("`{}` does not belong in a back-up", path.display()) }
}
