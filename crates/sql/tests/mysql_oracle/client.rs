//! The least of a client: text queries as `root` through a Unix socket, each byte as it was given.
use anyhow::{Context as _, Result, bail};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

const CAPABILITIES: u32 = 1 | 4 | 8 | 0x80 | 0x200 | 0x2000 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x8_0000;
const MORE_RESULTS: u16 = 8;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) schema: String,
    pub(crate) org_table: String,
    pub(crate) org_name: String,
}

/// One answer to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Rows { columns: Vec<Column>, rows: Vec<Vec<Option<Vec<u8>>>> },
    Error(u16),
}

pub(crate) struct Client {
    stream: UnixStream,
}

struct Packet(Vec<u8>, usize);

impl Packet {
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let out = self.0.get(self.1..self.1 + n).unwrap_or_default().to_vec();
        self.1 += n;
        out
    }

    fn number(&mut self, n: usize) -> u64 {
        self.bytes(n).iter().rev().fold(0, |v, b| v << 8 | u64::from(*b))
    }

    fn length(&mut self) -> Option<usize> {
        let n = match self.number(1) {
            0xfb => return None,
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            small => small,
        };
        usize::try_from(n).ok()
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let n = self.length()?;
        Some(self.bytes(n))
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.value().unwrap_or_default()).into_owned()
    }

    fn is_end(&self) -> bool {
        self.0.first() == Some(&0xfe) && self.0.len() < 9
    }
}

impl Client {
    pub(crate) fn connect(socket: &Path, database: &str) -> Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut out = Self { stream };
        let (greeting, _) = out.read()?;
        if greeting.0.first() == Some(&0xff) {
            bail!("no greeting: {}", String::from_utf8_lossy(&greeting.0));
        }
        let mut hello = Vec::new();
        hello.extend(CAPABILITIES.to_le_bytes());
        hello.extend((1u32 << 24).to_le_bytes());
        hello.push(45);
        hello.extend([0; 23]);
        hello.extend(b"root\0\0");
        hello.extend(database.as_bytes());
        hello.extend(b"\0mysql_native_password\0");
        out.write(1, &hello)?;
        loop {
            let (packet, sequence) = out.read()?;
            match packet.0.first() {
                Some(0) => return Ok(out),
                Some(0xfe) => out.write(sequence + 1, &[])?,
                Some(1) => {}
                _ => bail!("no way in: {}", String::from_utf8_lossy(&packet.0)),
            }
        }
    }

    fn read(&mut self) -> Result<(Packet, u8)> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((Packet(body, 0), head[3]))
    }

    fn write(&mut self, sequence: u8, body: &[u8]) -> Result<()> {
        let length = u32::try_from(body.len())?.to_le_bytes();
        let mut out = vec![length[0], length[1], length[2], sequence];
        out.extend(body);
        self.stream.write_all(&out)?;
        Ok(())
    }

    /// Runs a text; all its answers.
    pub(crate) fn query(&mut self, text: &[u8]) -> Result<Vec<Answer>> {
        let mut body = vec![3];
        body.extend(text);
        self.write(0, &body)?;
        let mut out = Vec::new();
        loop {
            let (answer, status) = self.answer()?;
            let more = status & MORE_RESULTS != 0 && !matches!(answer, Answer::Error(_));
            out.push(answer);
            if !more {
                return Ok(out);
            }
        }
    }

    /// Whether the server's grammar takes a text, which is not run: the number of its error, if it has one.
    pub(crate) fn prepare(&mut self, text: &[u8]) -> Result<Option<u16>> {
        let mut body = vec![0x16];
        body.extend(text);
        self.write(0, &body)?;
        let (mut packet, _) = self.read()?;
        if packet.number(1) == 0xff {
            return Ok(Some(u16::try_from(packet.number(2))?));
        }
        let id = packet.bytes(4);
        let (columns, parameters) = (packet.number(2), packet.number(2));
        for count in [parameters, columns] {
            if count > 0 {
                while !self.read()?.0.is_end() {}
            }
        }
        let mut close = vec![0x19];
        close.extend(id);
        self.write(0, &close)?;
        Ok(None)
    }

    fn answer(&mut self) -> Result<(Answer, u16)> {
        let (mut packet, sequence) = self.read()?;
        match packet.0.first() {
            Some(0) => {
                packet.number(1);
                let _affected = packet.length();
                let _insert_id = packet.length();
                Ok((Answer::Done, u16::try_from(packet.number(2))?))
            }
            Some(0xff) => {
                packet.number(1);
                Ok((Answer::Error(u16::try_from(packet.number(2))?), 0))
            }
            Some(0xfb) => {
                // It wants a file of ours: an empty one.
                self.write(sequence + 1, &[])?;
                self.answer()
            }
            _ => self.rows(packet.length().context("a number of columns")?),
        }
    }

    fn rows(&mut self, count: usize) -> Result<(Answer, u16)> {
        let mut columns = Vec::new();
        for _ in 0..count {
            let (mut p, _) = self.read()?;
            let (_catalog, schema, _table) = (p.text(), p.text(), p.text());
            let (org_table, name, org_name) = (p.text(), p.text(), p.text());
            columns.push(Column { name, schema, org_table, org_name });
        }
        let _end_of_columns = self.read()?;
        let mut rows = Vec::new();
        loop {
            let (mut packet, _) = self.read()?;
            if packet.0.first() == Some(&0xff) {
                packet.number(1);
                return Ok((Answer::Error(u16::try_from(packet.number(2))?), 0));
            }
            if packet.is_end() {
                packet.number(3);
                return Ok((Answer::Rows { columns, rows }, u16::try_from(packet.number(2))?));
            }
            rows.push((0..count).map(|_| packet.value()).collect());
        }
    }
}
