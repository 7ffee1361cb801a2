"""Reads what exporters have sent, by what others publish.

check.py ocsf FILE   each line of FILE against the schema of OCSF, as the package ocsf-json-schema has it
check.py otlp FILE   each line of FILE as an ExportLogsServiceRequest, by the types of opentelemetry-proto
check.py traces FILE the same for ExportTraceServiceRequest

Prints one line of JSON for each event: what a test compares. Ends with 1 at the first that does not fit.
"""

import json
import sys


def ocsf(lines):
    from jsonschema import Draft202012Validator
    from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

    schemas = {}
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        metadata = event["metadata"]
        key = (metadata["version"], event["class_uid"], tuple(metadata["profiles"]))
        if key not in schemas:
            schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=key[0]))
            name = schema.lookup_class_name_from_uid(key[1])
            schemas[key] = Draft202012Validator(schema.get_class_schema(name, list(key[2])))
        problems = [
            f"line {number} ({metadata['event_code']}, class {key[1]}): {'/'.join(map(str, e.absolute_path))}: {e.message[:300]}"
            for e in schemas[key].iter_errors(event)
        ]
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            problems.append(f"line {number}: type_uid does not fit class and activity")
        if problems:
            sys.exit("\n".join(problems))
        print(json.dumps({"kind": metadata["event_code"], "class": key[1], "activity": event["activity_id"]}))


def otlp(lines):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    for line in lines:
        request = json_format.Parse(line, ExportLogsServiceRequest())
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    attributes = {a.key: a.value for a in record.attributes}
                    body = {v.key for v in record.body.kvlist_value.values}
                    print(json.dumps({
                        "service": resource.resource.attributes[0].value.string_value,
                        "seq": attributes["doorward.audit.seq"].int_value,
                        "event": record.event_name,
                        "time": record.time_unix_nano,
                        "severity": record.severity_number,
                        "body": sorted(body),
                    }))


def base64_ids(value):
    """Identifiers are hexadecimal in OTLP's JSON, where protobuf's own has base64."""
    import base64

    if isinstance(value, list):
        return [base64_ids(v) for v in value]
    if not isinstance(value, dict):
        return value
    ids = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
    out = {}
    for key, inner in value.items():
        if key in ids and inner:
            raw = bytes.fromhex(inner)
            if len(raw) != ids[key]:
                sys.exit(f"{key} {inner} is not {ids[key]} bytes")
            out[key] = base64.b64encode(raw).decode()
        else:
            out[key] = base64_ids(inner)
    return out


def traces(lines):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def plain(value):
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [plain(v) for v in value.array_value.values]
        return getattr(value, kind)

    for line in lines:
        request = json_format.ParseDict(base64_ids(json.loads(line)), ExportTraceServiceRequest())
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    print(json.dumps({
                        "service": resource.resource.attributes[0].value.string_value,
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": span.kind,
                        "begin": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "status": span.status.code,
                        "events": [e.name for e in span.events],
                        "links": [link.trace_id.hex() for link in span.links],
                        "attributes": {a.key: plain(a.value) for a in span.attributes},
                    }))


{"ocsf": ocsf, "otlp": otlp, "traces": traces}[sys.argv[1]](open(sys.argv[2], encoding="utf-8").read().splitlines())
