use super::*;
use crate::field::Fields;
use serde_json::json;

struct Eyes {
    detector: Detector,
    masker: Masker,
    fields: Fields,
    types: Vec<(DataType, Operator)>,
}

fn eyes(tags: &[&str], types: &[DataType]) -> Eyes {
    Eyes {
        detector: Detector::new(),
        masker: Masker::new([7; 32]),
        fields: Fields::new(tags.iter().copied()).unwrap(),
        types: types.iter().map(|t| (*t, Operator::Redact)).collect(),
    }
}

impl Eyes {
    fn veil(&self) -> Veil<'_> {
        Veil { detector: &self.detector, masker: &self.masker, types: &self.types }
    }

    fn hidden(&self, kind: &str) -> Vec<Hidden<'_>> {
        let kind = kind.to_owned();
        let all = self.fields.of(Box::leak(kind.into_boxed_str()));
        all.map(|field| Hidden { field, operator: &Operator::Redact, label: "secret" }).collect()
    }

    fn seen(&self, kind: &str, mut object: Value) -> Value {
        self.veil().object(&mut object, kind, &self.hidden(kind));
        object
    }
}

const PASSWORD: &str = "aHVudGVyMg=="; // hunter2

#[test]
fn a_secret_stays_one_without_its_values() {
    let applied = json!({"kind": "Secret", "data": {"p": PASSWORD}, "stringData": {"q": "hunter2"}}).to_string();
    let seen = eyes(&[], &[]).seen(
        "secrets",
        json!({
            "kind": "Secret", "type": "Opaque", "data": {"p": PASSWORD, "empty": ""},
            "metadata": {
                "name": "s",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied},
                "managedFields": [{"fieldsV1": {"f:data": {"f:p": {}, "v:\"hunter2\"": {}}}}],
            },
        }),
    );
    let text = seen.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("hunter2"), "{text}");
    assert_eq!(seen["data"]["p"], BASE64_STANDARD.encode("[secret]"));
    assert_eq!(seen["metadata"]["name"], "s");
    assert_eq!(seen["metadata"]["managedFields"][0]["fieldsV1"]["f:data"], json!({"f:p": {}}));
    let applied = &seen["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    let applied: Value = serde_json::from_str(applied.as_str().unwrap()).unwrap();
    assert_eq!(applied["stringData"]["q"], "[secret]");
}

#[test]
fn what_was_applied_and_cannot_be_read_is_hidden_whole() {
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "data: {p: aHVudGVyMg==}"});
    let seen = eyes(&[], &[]).seen("secrets", json!({"metadata": {"annotations": annotations}}));
    assert!(!seen.to_string().contains(PASSWORD));
}

#[test]
fn fields_keep_their_types() {
    let eyes = eyes(&["customers.example.com:$.spec.person"], &[]);
    let object =
        json!({"spec": {"person": {"ssn": "1", "age": 41, "vip": true, "x": null, "l": [1.5, "a"]}, "open": 1}});
    let seen = eyes.seen("customers.example.com", object.clone());
    let person = json!({"ssn": "[secret]", "age": 0, "vip": false, "x": null, "l": [0, "[secret]"]});
    assert_eq!(seen["spec"], json!({"person": person, "open": 1}));
    assert_eq!(eyes.seen("others.example.com", object.clone()), object);
}

#[test]
fn recognizers_see_through_json() {
    let eyes = eyes(&[], &[DataType::CreditCard, DataType::UsSsn, DataType::Email]);
    let object: Value = serde_json::from_str(
        r#"{"a":"card 4111\u0031111 11111111, 4111 1111 1111 1111","n":4111111111111111,"ssn":"078051120",
            "b":"NDExMTExMTExMTExMTExMQ==","jo@example.com":1,"plain":"x","m":41}"#,
    )
    .unwrap();
    let seen = eyes.seen("configmaps", object);
    let text = seen.to_string();
    assert!(!text.contains("1111 1111 1111") && !text.contains("078051120") && !text.contains("jo@"), "{text}");
    assert_eq!((&seen["n"], &seen["m"], &seen["plain"]), (&json!(0), &json!(41), &json!("x")));
    assert_eq!(seen["b"], BASE64_STANDARD.encode("[credit_card]"));
    let mut clean = json!({"a": "b", "n": 1});
    assert!(!eyes.veil().object(&mut clean, "configmaps", &[]));
}

#[test]
fn masks_are_not_written_back() {
    let eyes = eyes(&["c.example.com:$.spec.ssn"], &[]);
    let (veil, hidden) = (eyes.veil(), eyes.hidden("secrets"));
    let before = json!({"data": {"p": PASSWORD, "q": "YQ=="}});
    let masked = BASE64_STANDARD.encode("[secret]");
    assert!(veil.loses(&before, &json!({"data": {"p": masked, "q": "YQ=="}}), "secrets", &hidden));
    assert!(!veil.loses(&before, &json!({"data": {"p": PASSWORD, "q": "Yg=="}}), "secrets", &hidden));
    assert!(!veil.loses(&before, &json!({"data": {}}), "secrets", &hidden));
    let of = eyes.hidden("c.example.com");
    let spec = |ssn: &str| json!({"spec": {"ssn": ssn}});
    assert!(veil.loses(&spec("078-05-1120"), &spec("[secret]"), "c.example.com", &of));
}

#[test]
fn errors_tell_no_values() {
    let eyes = eyes(&[], &[]);
    let told = Told::of(&json!({"data": {"p": PASSWORD}}), &eyes.hidden("secrets"));
    assert!(told.is_in(PASSWORD) && told.is_in("x hunter2") && !told.is_in("hunter3"));
    let mut status = json!({"kind": "Status", "message": "Invalid value: \"hunter2\"", "details": {"name": "s"}});
    assert!(told.hide_in(&mut status));
    assert_eq!(status["details"]["name"], "s");
    assert!(!status.to_string().contains("hunter2"));
}

#[test]
fn errors_tell_no_values_in_quotes() {
    let eyes = eyes(&["c.example.com:$.spec.key"], &[]);
    let told = Told::of(&json!({"spec": {"key": "a \"b\"\nc"}}), &eyes.hidden("c.example.com"));
    let mut status = json!({"message": "Invalid value: \"a \\\"b\\\"\\nc\": no"});
    assert!(told.hide_in(&mut status), "{status}");
}

#[test]
fn what_is_made_of_an_object_tells_no_values() {
    let eyes = eyes(&["c.example.com:$.spec.*"], &[]);
    let told = Told::of(&json!({"spec": {"age": 81, "share": 12.75, "flag": true}}), &eyes.hidden("c.example.com"));
    let mut cells = json!(["jo", 81, 12, true, "true", "x81", 7]);
    assert!(told.hide_in_made(&mut cells));
    assert_eq!(cells, json!(["jo", 0, 0, false, "false", HELD_ONE, 7]));
    let mut scale = json!({"kind": "Scale", "spec": {"replicas": 81}});
    assert!(told.hide_in_made(&mut scale));
    assert_eq!(scale["spec"]["replicas"], 0);
}

#[test]
fn who_manages_what_tells_no_values_however_they_are_written() {
    let eyes = eyes(&["c.example.com:$.spec.set[*]", "c.example.com:$.spec.ports[*].n"], &[]);
    let managed = json!([{"fieldsV1": {"f:spec": {
        "f:set": {"v:\"a\\u003cb\"": {}, "v:\"other\"": {}, "v:no json": {}},
        "f:ports": {"k:{\"n\":80,\"p\":\"TCP\"}": {}, "k:{\"n\":81}": {}}}}}]);
    let object = json!({"metadata": {"managedFields": managed}, "spec": {"set": ["a<b"], "ports": [{"n": 80}]}});
    let seen = eyes.seen("c.example.com", object);
    let fields = &seen["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
    assert_eq!(fields, &json!({"f:set": {"v:\"other\"": {}}, "f:ports": {"k:{\"n\":81}": {}}}));
}

#[test]
fn many_hidden_values_take_no_longer_than_they_are_many() {
    let eyes = eyes(&["c.example.com:$.spec.set[*]"], &[]);
    let values: Vec<String> = (0..40_000).map(|n| format!("value-{n}")).collect();
    let managed: Map<String, Value> = values.iter().map(|v| (format!("v:\"{v}\""), json!({}))).collect();
    let object =
        json!({"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:set": managed}}}]}, "spec": {"set": values}});
    let begun = std::time::Instant::now();
    let told = Told::of(&object, &eyes.hidden("c.example.com"));
    let mut status = json!({"details": {"causes": vec![json!({"message": "none of them"}); 20_000]}});
    assert!(told.hide_in(&mut status));
    let seen = eyes.seen("c.example.com", object);
    assert_eq!(seen["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:set"], json!({}));
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn masks_are_not_written_back_where_elements_have_moved() {
    let eyes = eyes(&["c.example.com:$.spec.list[*].n"], &[]);
    let (veil, hidden) = (eyes.veil(), eyes.hidden("c.example.com"));
    let list = |all: &[i64]| json!({"spec": {"list": all.iter().map(|n| json!({"n": n})).collect::<Vec<_>>()}});
    assert!(veil.loses(&list(&[5]), &list(&[7, 0]), "c.example.com", &hidden));
    assert!(!veil.loses(&list(&[5, 0]), &list(&[0, 7]), "c.example.com", &hidden));
}

#[test]
fn what_is_picked_stays_picked() {
    let eyes = eyes(&["pods:$..env[?@.name=='PASSWORD'].value", "pods:$.spec.x"], &[]);
    let (veil, hidden) = (eyes.veil(), eyes.hidden("pods"));
    let pod = |name: &str| json!({"spec": {"env": [{"name": name, "value": "hunter2"}], "x": 1}});
    assert!(veil.bares(&pod("PASSWORD"), &pod("OTHER"), &hidden));
    assert!(!veil.bares(&pod("OTHER"), &pod("PASSWORD"), &hidden));
    assert!(!veil.bares(&pod("OTHER"), &json!({}), &hidden));
}

/// Texts that values are made of, with what may stand beside them.
const PIECES: [&str; 27] = [
    "4111 1111 1111 1111",
    "4111",
    "1111",
    " ",
    "-",
    ".",
    "ada@example.com",
    "ada",
    "@",
    "example.com",
    "ssn ",
    "078051120",
    "078-05-1120",
    "+44 20 7183 8750",
    "415 555 2671",
    "192.168.1.10",
    "DE89 3704 0044 0532 0130 00",
    "2001:db8::1",
    "::",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun\n-----END PRIVATE KEY-----",
    "-----BEGIN ",
    "KEY-----",
    "\n",
    "word",
    "AKIAIOSFODNN7EXAMPLE",
];

fn made_of(next: &mut impl FnMut(usize) -> usize, depth: usize) -> Value {
    let text =
        |next: &mut dyn FnMut(usize) -> usize| -> String { (0..next(4)).map(|_| PIECES[next(PIECES.len())]).collect() };
    match next(if depth == 0 { 4 } else { 6 }) {
        0 => json!(next(2) == 0),
        1 => json!(PIECES[next(3)].replace(' ', "").parse::<u64>().unwrap_or(7) + next(2) as u64),
        2 => json!(BASE64_STANDARD.encode(text(next))),
        3 => json!(text(next)),
        4 => (0..next(4)).map(|_| made_of(next, depth - 1)).collect(),
        _ => (0..next(4))
            .map(|n| {
                let name = if next(3) == 0 { format!("customer_ssn{n}") } else { format!("{}{n}", text(next)) };
                (name, made_of(next, depth - 1))
            })
            .collect::<Map<_, _>>()
            .into(),
    }
}

#[test]
fn one_look_at_all_texts_misses_nothing_that_a_look_at_each_finds() {
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let (mut hits, mut passed) = (0, 0);
    for round in 0..20_000 {
        let types: Vec<_> = DataType::ALL.iter().copied().filter(|_| round % 2 == 0 || next(3) == 0).collect();
        let eyes = eyes(&[], &types);
        let value = made_of(&mut next, 3);
        let (mut quick, mut each) = (value.clone(), value.clone());
        let wanted = types.iter().copied().collect();
        let found = eyes.veil().found_in(&mut each, Hint::default(), wanted);
        assert_eq!((eyes.veil().found(&mut quick), &quick), (found, &each), "{value}");
        hits += usize::from(found);
        passed += usize::from(!found);
    }
    assert!(hits > 2000 && passed > 2000, "{hits} {passed}");
}

#[test]
fn a_value_behind_much_text_is_found() {
    let filler: Vec<String> = (0..4000).map(|n| format!("a line of text, number {}", n % 7)).collect();
    let object = json!({"a": filler, "b": "4111 1111 1111 1111", "c": "x".repeat(200_000)});
    let seen = eyes(&[], &[DataType::CreditCard]).seen("configmaps", object.clone());
    assert_ne!(seen["b"], object["b"]);
    assert_eq!(seen["c"], object["c"]);
}
