use super::*;
use doorward_control::recordings::ssh::export;
use doorward_model::Timestamp;
use doorward_record::{RecordOptions, RecordStore, RecordingMeta, SigningKey};
use doorward_ssh::{
    codec::{Stream, header},
    replay::Requested,
};
use std::path::{Path, PathBuf};

/// A command and a terminal, one second a step.
fn record(dir: &Path) -> PathBuf {
    let store = RecordStore::open(dir, SigningKey::from_bytes(&[7; 32]), RecordOptions::default()).unwrap();
    let time = |n: u64| Timestamp::from_micros(1_700_000_000_000_000 + n * 1_000_000);
    let recording = store.start(RecordingMeta {
        session: "s1".into(),
        connection: "box".into(),
        protocol: "ssh".into(),
        started: time(0),
        client: "127.0.0.1:1".into(),
        more: serde_json::Value::Null,
    });
    let opened = |n| Event::Opened { channel: Some(n), kind: "session".into(), target: None };
    let bytes = |at, n, text: &[u8]| {
        let frame = [header(n, Stream::Data).as_slice(), text].concat();
        recording.frame(Direction::Upstream, time(at), &frame);
    };
    recording.meta(time(1), &opened(0).to_json());
    let exec = Event::Request { channel: Some(0), what: Requested::Exec, statement: "id".into() };
    recording.meta(time(2), &exec.to_json());
    bytes(3, 0, b"uid=0\n");
    recording.meta(time(4), &opened(1).to_json());
    recording.meta(time(5), &Event::Pty { channel: Some(1), term: "vt".into(), columns: 80, rows: 24 }.to_json());
    bytes(6, 1, b"\x1b]0;evil\x07\x1b[1m$ \xe2");
    bytes(7, 1, b"\x82\xac\r\n");
    recording.meta(time(8), &Event::Exit { channel: Some(1), status: 0 }.to_json());
    let path = recording.path().to_owned();
    recording.finish(time(9), "done");
    store.stop();
    path
}

fn with_recording(use_it: impl FnOnce(Open<'_>)) {
    let dir = tempfile::tempdir().unwrap();
    let path = record(dir.path());
    use_it(&|| Ok(Reader::open(&path, None)?));
}

#[test]
fn lines_of_all_channels_or_one() {
    with_recording(|open| {
        let shown = |channel| {
            let mut out = Vec::new();
            lines(open().unwrap(), Options { speed: 0.0, lines: 50, channel }, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let all = shown(None);
        assert!(all.starts_with("session s1 on box, from 2023-11-14T22:13:20.000Z\n"), "{all}");
        for line in ["[0] * exec: id", "[0] < uid=0", "[1] < $ €", "[1] * exit 0"] {
            assert!(all.contains(line), "{line}: {all}");
        }
        let one = shown(Some(0));
        assert!(one.contains("uid=0") && !one.contains("[1]"), "{one}");
        assert!(!all.contains('\x1b'));
    });
}

#[test]
fn a_terminal_is_played_without_what_it_must_not_do() {
    with_recording(|open| {
        let channel = chosen(open, None).unwrap().unwrap();
        assert_eq!((channel.number, channel.terminal), (1, true));
        let mut out = Vec::new();
        play(open().unwrap(), 1, &mut Keys::none(0.0), &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.contains("channel 1\r\n\x1b[1m$ €\r\n\x1b[0m"), "{shown:?}");
        assert!(!shown.contains("evil"));
        let error = chosen(open, Some(7)).unwrap_err().to_string();
        assert_eq!(error, "the session has no channel 7; it has: 0, 1");
    });
}

#[test]
fn a_cast_of_the_terminal_or_of_a_command() {
    with_recording(|open| {
        let cast = |channel| {
            let mut out = Vec::new();
            export(open, channel, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let first = cast(None);
        let lines: Vec<serde_json::Value> = first.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["term"], serde_json::json!({ "cols": 80, "rows": 24, "type": "vt" }));
        assert_eq!(lines[1], serde_json::json!([2.0, "o", "\u{1b}[1m$ "]));
        assert_eq!(lines[2], serde_json::json!([1.0, "o", "€\r\n"]));
        assert_eq!(lines[3], serde_json::json!([1.0, "x", "0"]));
        assert!(cast(Some(0)).contains("\"command\":\"id\""));
    });
}
