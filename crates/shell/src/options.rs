//! Options and operands of programs, as getopt_long(3) of glibc reads them, by the table in `table.txt`.
use crate::scope::Value;
use std::{collections::HashMap, sync::LazyLock};

/// Whether an option has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// In the same word, or else the next one.
    Value,
    /// In the same word, if at all.
    Perhaps,
}

/// An option: what its value is (`role`), and what it changes (`effects`), by the letters of the table.
#[derive(Clone, Copy, Debug)]
struct Opt {
    takes: Takes,
    role: char,
    effects: &'static str,
    /// Names of one option share it.
    id: usize,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Program {
    /// What its operands are: the word in front of the flags.
    pub(crate) operands: &'static str,
    flags: &'static str,
    short: HashMap<char, Opt>,
    long: Vec<(&'static str, Opt)>,
}

/// What the words behind a program's name are.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) operands: Vec<Value>,
    /// Values of options with what they are.
    pub(crate) values: Vec<(char, Value)>,
    effects: String,
}

impl Arguments {
    /// Whether an option with this effect is there.
    pub(crate) fn has(&self, effect: char) -> bool {
        self.effects.contains(effect)
    }

    /// The values of one kind.
    pub(crate) fn of(&self, role: char) -> impl Iterator<Item = &Value> {
        self.values.iter().filter(move |(r, _)| *r == role).map(|(_, value)| value)
    }
}

static TABLE: LazyLock<HashMap<&'static str, Program>> = LazyLock::new(|| parse(include_str!("table.txt")));

/// The row of a program.
pub(crate) fn program(name: &str) -> Option<&'static Program> {
    TABLE.get(name)
}

fn parse(text: &'static str) -> HashMap<&'static str, Program> {
    let mut table = HashMap::new();
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).peekable();
    while let Some(first) = lines.next() {
        let mut tokens: Vec<&'static str> = first.split_whitespace().collect();
        while let Some(more) = lines.next_if(|line| line.starts_with(' ')) {
            tokens.extend(more.split_whitespace());
        }
        let mut tokens = tokens.into_iter();
        let (Some(names), Some(operands)) = (tokens.next(), tokens.next()) else { continue };
        let tokens: Vec<&'static str> = tokens.collect();
        for name in names.split(',') {
            table.insert(name, row(operands, &tokens));
        }
    }
    table
}

fn row(operands: &'static str, tokens: &[&'static str]) -> Program {
    let flags = operands.find(|c: char| !c.is_ascii_alphanumeric() && c != '[').unwrap_or(operands.len());
    let (operands, flags) = operands.split_at_checked(flags).unwrap_or((operands, ""));
    let mut program = Program { operands, flags, short: HashMap::new(), long: Vec::new() };
    for (id, token) in tokens.iter().enumerate() {
        let (names, opt) = option(token, id);
        let (first, others) = names.split_once('|').unwrap_or((names, ""));
        match first.strip_prefix("--") {
            Some(long) => program.long.push((long, opt)),
            None => program.short.extend(first.chars().skip(1).map(|c| (c, opt))),
        }
        program.long.extend(others.split('|').filter(|o| !o.is_empty()).map(|long| (long, opt)));
    }
    program
}

/// `NAMES=rEFFECTS`, `NAMES?rEFFECTS`, `NAMES:EFFECTS`, `NAMES`.
fn option(token: &'static str, id: usize) -> (&'static str, Opt) {
    let at = token.char_indices().skip(2).find(|(_, c)| "=?:".contains(*c)).map_or(token.len(), |(n, _)| n);
    let (names, rest) = token.split_at_checked(at).unwrap_or((token, ""));
    let mut rest = rest.chars();
    let takes = match rest.next() {
        Some('=') => Takes::Value,
        Some('?') => Takes::Perhaps,
        _ => Takes::Nothing,
    };
    let role = if takes == Takes::Nothing { '.' } else { rest.next().unwrap_or('.') };
    (names, Opt { takes, role, effects: rest.as_str(), id })
}

impl Program {
    fn is(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// Directories are gone through.
    pub(crate) fn goes_below(&self) -> bool {
        self.is('*')
    }

    /// Without operands, it is about the working directory.
    pub(crate) fn is_about_here(&self) -> bool {
        self.is('@')
    }

    /// Reads arguments; an error is the one that is not known.
    pub(crate) fn read(&self, arguments: &[Value]) -> Result<Arguments, String> {
        let mut out = Arguments::default();
        let mut rest = arguments;
        if self.operands == "tar" {
            rest = self.old_style(rest, &mut out)?;
        }
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            let Some(text) = first.as_known() else {
                out.operands.push(first.clone());
                continue;
            };
            let number = self.is('#') && out.operands.is_empty() && out.values.is_empty();
            if text == "--" {
                out.operands.extend(tail.iter().cloned());
                break;
            } else if let Some(long) = text.strip_prefix("--") {
                rest = self.long(long, tail, &mut out).ok_or_else(|| text.to_owned())?;
            } else if let Some(letters) = text.strip_prefix('-').filter(|l| !l.is_empty()) {
                let digits = letters.bytes().take_while(u8::is_ascii_digit).count();
                if number && digits > 0 {
                    self.flags_only(letters.get(digits..).unwrap_or_default()).ok_or_else(|| text.to_owned())?;
                } else {
                    rest = self.short(letters, tail, &mut out).ok_or_else(|| text.to_owned())?;
                }
            } else if self.is('%') && text.starts_with('@') {
                return Err(text.to_owned());
            } else {
                out.operands.push(first.clone());
                if self.is('+') {
                    out.operands.extend(tail.iter().cloned());
                    break;
                }
            }
        }
        Ok(out)
    }

    /// Letters behind a number of the obsolete kind (`tail -5f`), none of which may mean something else there.
    fn flags_only(&self, letters: &str) -> Option<()> {
        letters.chars().all(|c| "fqvz".contains(c) && self.short.contains_key(&c)).then_some(())
    }

    /// `tar czf archive dir`: letters without a dash, with their values behind them in turn.
    fn old_style<'a>(&self, arguments: &'a [Value], out: &mut Arguments) -> Result<&'a [Value], String> {
        let Some((first, mut tail)) = arguments.split_first() else { return Ok(arguments) };
        let Some(letters) = first.as_known().filter(|t| !t.starts_with('-')) else { return Ok(arguments) };
        for letter in letters.chars() {
            let opt = self.short.get(&letter).ok_or_else(|| letters.to_owned())?;
            let value = match opt.takes {
                Takes::Nothing => None,
                Takes::Value | Takes::Perhaps => {
                    let (value, rest) = tail.split_first().ok_or_else(|| letters.to_owned())?;
                    tail = rest;
                    Some(value.clone())
                }
            };
            out.note(opt, value).ok_or_else(|| letters.to_owned())?;
        }
        Ok(tail)
    }

    fn short<'a>(&self, letters: &str, tail: &'a [Value], out: &mut Arguments) -> Option<&'a [Value]> {
        // `-ps` of a program that knows no letters in one.
        if let Some(opt) = self.short_word(letters) {
            out.note(opt, None)?;
            return Some(tail);
        }
        for (n, letter) in letters.char_indices() {
            let opt = self.short.get(&letter)?;
            let glued = letters.get(n + letter.len_utf8()..).unwrap_or_default();
            match opt.takes {
                Takes::Nothing => out.note(opt, None)?,
                Takes::Value if glued.is_empty() => {
                    let (value, rest) = tail.split_first()?;
                    out.note(opt, Some(value.clone()))?;
                    return Some(rest);
                }
                Takes::Value | Takes::Perhaps => {
                    // Programs that read letters one by one give them the next words, or nothing.
                    let alone = n == 0 && glued.bytes().all(|b| b.is_ascii_digit());
                    if self.is('~') && !alone {
                        return None;
                    }
                    out.note(opt, Some(Value::known(glued)).filter(|v| !v.text.is_empty()))?;
                    return Some(tail);
                }
            }
            if self.is('~') && letters.chars().any(|c| self.short.get(&c).is_some_and(|o| o.takes != Takes::Nothing)) {
                return None;
            }
        }
        Some(tail)
    }

    /// A whole word behind one dash.
    fn short_word(&self, letters: &str) -> Option<&Opt> {
        self.is('~')
            .then(|| self.long.iter().find(|(name, _)| name.strip_prefix('-') == Some(letters)))?
            .map(|(_, o)| o)
    }

    fn long<'a>(&self, word: &str, tail: &'a [Value], out: &mut Arguments) -> Option<&'a [Value]> {
        let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(Value::known(v))));
        let opt = self.long_named(name)?;
        match (opt.takes, value) {
            (Takes::Nothing, Some(_)) => None,
            (Takes::Nothing | Takes::Perhaps, value) => out.note(opt, value).map(|()| tail),
            (Takes::Value, Some(value)) => out.note(opt, Some(value)).map(|()| tail),
            (Takes::Value, None) if self.is('~') => None,
            (Takes::Value, None) => {
                let (value, rest) = tail.split_first()?;
                out.note(opt, Some(value.clone())).map(|()| rest)
            }
        }
    }

    /// The option of this name, or the one that it can only be short for.
    fn long_named(&self, name: &str) -> Option<&Opt> {
        if let Some((_, opt)) = self.long.iter().find(|(known, _)| *known == name) {
            return Some(opt);
        }
        if self.is('=') || name.is_empty() {
            return None;
        }
        let mut fitting = self.long.iter().filter(|(known, _)| known.starts_with(name)).map(|(_, opt)| opt);
        let first = fitting.next()?;
        fitting.all(|other| other.id == first.id).then_some(first)
    }
}

impl Arguments {
    /// None where the option is not followed.
    fn note(&mut self, opt: &Opt, value: Option<Value>) -> Option<()> {
        if opt.effects.contains('!') {
            return None;
        }
        self.effects.push_str(opt.effects);
        self.values.extend(value.map(|v| (opt.role, v)));
        Some(())
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
