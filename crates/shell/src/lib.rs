//! What a command line would do: the programs it runs, the files it reads and writes, whose rights it takes.
//!
//! A text is read by the grammar of POSIX shells and what bash adds (`parser.rs`, `word.rs`), then gone
//! through in the order in which a shell would run it (`walk.rs`): pipes, lists, subshells, substitutions,
//! loops, functions, here-documents, builtins (`builtins.rs`), programs that run others (`wrappers.rs`:
//! `sudo`, `env`, `xargs`, `find -exec`, …), shells and interpreters (`interpreters.rs`), the far ends of file
//! transfers (`transfer.rs`), and files in the arguments of programs (`files.rs`, `copies.rs`, `fetch.rs`, `find.rs`,
//! `git.rs`), by a table of their options (`options.rs`, `table.txt`).
//!
//! Invariants:
//! - What is not understood is an `opaque` access that says what it was; nothing is left out. That holds for
//!   names and arguments that are only known when they run, for patterns, for code given to interpreters, and
//!   for constructs that bash and dash read differently.
//! - What may run is noted whether or not a condition lets it.
//! - Linear in the text, but for loops over words (16 at most) and a bound on commands; no text overflows the
//!   stack: nesting is limited to 40.
//!
//! Deliberately absent: the shell itself, its start-up files, and file systems. Known limits: a symbolic link
//! is taken for the file it is; a program that is allowed may be one that was put there under that name; login
//! shells other than bash, dash, ash, ksh and zsh in its sh-like use read texts by grammars of their own.
mod ast;
mod builtins;
mod copies;
mod fetch;
mod files;
mod find;
mod git;
mod interpreters;
mod options;
mod parser;
mod path;
mod programs;
mod scope;
mod transfer;
mod walk;
mod word;
mod wrappers;

pub use transfer::Protocol;

use doorward_model::{Access, Action, Facts, Resource};
use scope::{Scope, Value};
use walk::{Context, Stdin, Walker};

/// The longest command line that is read, in bytes. Linux takes no longer one (`MAX_ARG_STRLEN`).
pub const LONGEST: usize = 128 * 1024;

/// Who runs a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Login {
    /// Whether the upstream's user is the superuser.
    pub is_root: bool,
}

/// What a command line would do.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The rights it needs.
    pub facts: Facts,
    /// What the bytes after it mean, where it is the far end of a transfer.
    pub protocol: Option<Protocol>,
}

/// Reads a command line as the login shell would (`exec` of RFC 4254 §6.5).
pub fn analyse(text: &[u8], login: Login) -> Analysis {
    let mut walker = Walker::default();
    let ctx = Context { root: login.is_root, stdin: Stdin::Caller, alone: true, depth: 0 };
    match std::str::from_utf8(text) {
        Ok(_) if text.len() > LONGEST => walker.opaque("a command line that is too long", &ctx),
        Ok(text) if text.contains('\0') => walker.opaque("a command line with a zero byte", &ctx),
        Ok(text) => walker.text(text, &ctx, &mut Scope::default()),
        Err(_) => walker.opaque("a command line that is not UTF-8", &ctx),
    }
    finish(walker, &ctx)
}

/// Reads a line of a shell that lives on (a governed shell), which is in this directory: absolute, `~` or `~/…`.
///
/// What an earlier line has set is not known: variables are only known when the line runs. What would change how
/// later lines are read is opaque.
pub fn analyse_line(text: &str, login: Login, directory: Option<&str>) -> Analysis {
    let mut walker = Walker { lives_on: true, ..Walker::default() };
    let ctx = Context { root: login.is_root, stdin: Stdin::Caller, alone: false, depth: 0 };
    let mut scope = Scope::in_directories(directory.map(|d| vec![d.to_owned()]));
    if text.len() > LONGEST {
        walker.opaque("a line that is too long", &ctx);
    } else if text.contains('\0') {
        walker.opaque("a line with a zero byte", &ctx);
    } else {
        walker.text(text, &ctx, &mut scope);
    }
    finish(walker, &ctx)
}

/// Whether a text is the beginning of a command that goes on in the next line: an open quote, `do` without `done`,
/// a here-document.
pub fn is_incomplete(text: &str) -> bool {
    text.len() <= LONGEST && parser::is_incomplete(text)
}

/// Reads a command that is given as words and run without a shell (exec in a container).
pub fn analyse_words(words: &[&str], login: Login) -> Analysis {
    let mut walker = Walker::default();
    let ctx = Context { root: login.is_root, stdin: Stdin::Caller, alone: true, depth: 0 };
    let mut scope = Scope::in_directories(None);
    let values: Vec<Value> = words.iter().map(|w| Value::known(*w)).collect();
    if words.iter().map(|w| w.len()).sum::<usize>() > LONGEST {
        walker.opaque("a command line that is too long", &ctx);
    } else {
        programs::words(&mut walker, &values, &ctx, &mut scope);
    }
    finish(walker, &ctx)
}

fn finish(walker: Walker, ctx: &Context) -> Analysis {
    let mut accesses: Vec<Access> = walker.accesses.into_iter().collect();
    if accesses.is_empty() {
        accesses.push(Access::new(Action::Connect, Resource::Connection).with_root(ctx.root));
    }
    let command = if walker.programs.is_empty() { "command".to_owned() } else { walker.programs.join("; ") };
    let statements = u32::try_from(walker.steps).unwrap_or(u32::MAX);
    Analysis { facts: Facts::new(&command, statements, accesses), protocol: walker.protocol }
}

#[cfg(test)]
mod tests;
