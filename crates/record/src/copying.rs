//! What a copy of a log has to be made of, and in which order, while the log is written to.
use crate::audit_files::{file_name, numbers};
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Gives each file of the log in `dir` to `each`, with its name and how many bytes of it belong to the copy.
///
/// The order is what makes the copy one that can be opened: the head first, which signs no line that the files do not have
/// then; the newest file last, whose end may be torn, as after a crash.
///
/// # Errors
/// Where a file cannot be read, `each` fails, or files were removed by retention meanwhile: begin again.
pub fn copy_log(dir: &Path, mut each: impl FnMut(&str, File, u64) -> io::Result<()>) -> io::Result<()> {
    let begin = read(dir, "begin")?;
    let mut others = vec!["head".to_owned(), "begin".to_owned()];
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("torn-after-") {
            others.push(name);
        }
    }
    for name in others {
        match File::open(dir.join(&name)) {
            Ok(file) => give(&name, file, &mut each)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    for number in numbers(dir)? {
        let name = file_name(number);
        give(&name, File::open(dir.join(&name))?, &mut each)?;
    }
    if read(dir, "begin")? != begin {
        return Err(io::Error::other("retention removed files of the audit log meanwhile: begin again"));
    }
    Ok(())
}

fn give(name: &str, file: File, each: &mut impl FnMut(&str, File, u64) -> io::Result<()>) -> io::Result<()> {
    let length = file.metadata()?.len();
    each(name, file, length)
}

fn read(dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(dir.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
