//! Paths, as far as they can be told from their text.

/// Why a path does not say which file it means.
pub(crate) type Unclear = &'static str;

/// The file that a path means: absolute, or below the home directory (`~`, `~/x`).
pub(crate) fn resolve(directory: Option<&str>, path: &str) -> Result<String, Unclear> {
    let whole = if path.starts_with('/') || path == "~" || path.starts_with("~/") {
        path.to_owned()
    } else {
        format!("{}/{path}", directory.ok_or("a path below a directory that is only known when it runs")?)
    };
    let (root, rest) = match whole.strip_prefix('~') {
        Some(rest) => ("~", rest),
        None => ("", whole.as_str()),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() && root == "~" => return Err("a path that climbs out of the home directory"),
            ".." => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    // Links of the kernel's, through which any file has many more names.
    if root.is_empty() && joined.starts_with("dev/fd/") {
        return Err("a path through /dev/fd");
    }
    if root.is_empty() && joined.starts_with("proc/") && parts.iter().any(|p| matches!(*p, "root" | "cwd" | "fd")) {
        return Err("a path through /proc");
    }
    Ok(match (root, joined.is_empty()) {
        ("~", true) => "~".to_owned(),
        (_, true) => "/".to_owned(),
        _ => format!("{root}/{joined}"),
    })
}

/// Files that stand for what a command has open anyway.
pub(crate) fn is_standard(path: &str) -> bool {
    matches!(path, "/dev/null" | "/dev/stdin" | "/dev/stdout" | "/dev/stderr" | "/dev/tty" | "/dev/zero" | "/dev/full")
}

/// Whether a file of code is what is read as standard input.
pub(crate) fn is_input(path: &str) -> bool {
    matches!(path, "/dev/stdin" | "/dev/tty" | "/dev/stdout" | "/dev/stderr")
}

/// Directories whose programs are known by their name alone.
const STANDARD: [&str; 6] = ["/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"];

/// The name of a program: without the directory where it is one of the usual ones, the whole path otherwise,
/// so that `/tmp/ls` is not taken for `ls`.
pub(crate) fn program_name(directory: Option<&str>, written: &str) -> String {
    if !written.contains('/') {
        return written.to_owned();
    }
    let Ok(path) = resolve(directory, written) else { return written.to_owned() };
    let bare = STANDARD.iter().find_map(|d| path.strip_prefix(d)).filter(|name| !name.contains('/'));
    bare.map_or(path.clone(), ToOwned::to_owned)
}

/// A word as a shell would have to read it to get this text.
pub(crate) fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,~".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        assert_eq!(resolve(Some("~"), "a/./b//../c").as_deref(), Ok("~/a/c"));
        assert_eq!(resolve(Some("/srv"), "../etc/passwd").as_deref(), Ok("/etc/passwd"));
        assert_eq!(resolve(None, "//etc/../etc/./passwd").as_deref(), Ok("/etc/passwd"));
        assert_eq!(resolve(Some("/"), "..").as_deref(), Ok("/"));
        assert_eq!(resolve(Some("~"), ".").as_deref(), Ok("~"));
        assert!(resolve(Some("~"), "../../etc/passwd").is_err());
        assert!(resolve(None, "x").is_err());
        assert!(resolve(None, "/proc/self/root/etc/passwd").is_err());
    }

    #[test]
    fn programs_elsewhere_keep_their_path() {
        assert_eq!(program_name(None, "/usr/bin/../bin/rm"), "rm");
        assert_eq!(program_name(Some("~"), "./rm"), "~/rm");
        assert_eq!(program_name(None, "/tmp/ls"), "/tmp/ls");
    }
}
