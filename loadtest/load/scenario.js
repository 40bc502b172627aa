// What k6 runs: open-model scenarios that send prepared requests over REST and gRPC and check every answer.
//
// It decides nothing. loadtest/load/k6.py writes PLAN (addresses, phases, metrics to keep) and ITEMS (requests with the
// answers they must get), and reads the summary that handleSummary writes. Latency counts from the moment a request was
// due, not from the moment it was sent, so a generator or a server that stalls cannot hide the wait.

import { Counter, Trend } from 'k6/metrics';
import { SharedArray } from 'k6/data';
import { b64decode, b64encode } from 'k6/encoding';
import exec from 'k6/execution';
import grpc from 'k6/net/grpc';
import http from 'k6/http';

const plan = JSON.parse(open(__ENV.PLAN));
const items = new SharedArray('items', () => JSON.parse(open(__ENV.ITEMS)));

const INFER = 'inference.GRPCInferenceService/ModelInfer';
const STREAM = 'inference.GRPCInferenceService/ModelStreamInfer';

export const options = {
  scenarios: plan.scenarios,
  summaryTrendStats: plan.stats,
  systemTags: [],
  discardResponseBodies: false,
  insecureSkipTLSVerify: plan.insecure,
  noCookiesReset: true,
};

const requests = new Counter('ff_requests');
const errors = new Counter('ff_errors');
const refused = new Counter('ff_refused_as_expected');
const latency = new Trend('ff_latency', true);
const lateness = new Trend('ff_lateness', true);
const codes = {};
for (const code of plan.codes) codes[code] = new Counter('ff_code_' + code);
const transports = {};
for (const name of plan.transports) {
  transports[name] = {
    latency: new Trend('ff_transport_' + name, true),
    requests: new Counter('ff_transport_requests_' + name),
    errors: new Counter('ff_transport_errors_' + name),
  };
}
// By measured phase: right answers, and refusals because the server has too much to do.
const right = {};
const overloaded = {};
for (const [name, phase] of Object.entries(plan.phases)) {
  if (!phase.measured) continue;
  right[name] = new Trend('ff_right_' + name, true);
  overloaded[name] = new Trend('ff_overloaded_' + name, true);
}
const slots = [];
const slotErrors = [];
for (let i = 0; i < plan.slots; i++) {
  slots.push(new Trend('ff_slot_' + i, true));
  slotErrors.push(new Counter('ff_slot_errors_' + i));
}

// One client for each address: a null server has a port for each kind of call, a deployment one for both.
const clients = {};
for (const address of Object.values(plan.grpc.addresses)) {
  if (clients[address]) continue;
  clients[address] = { client: new grpc.Client(), connected: false };
  clients[address].client.loadProtoset(plan.grpc.protoset);
}
let said = 0;

// Milliseconds since the scenario began. Its progress is the only clock finer than a millisecond that k6 gives; it stops
// at the end of the schedule, where the coarse one has to do.
function now(phase) {
  const progress = exec.scenario.progress;
  return progress < 1 ? progress * phase.milliseconds : Date.now() - exec.scenario.startTime;
}

function record(phase, transport, milliseconds, dueAt, outcome, detail) {
  if (!phase.measured) return;
  requests.add(1);
  latency.add(milliseconds);
  transports[transport].latency.add(milliseconds);
  transports[transport].requests.add(1);
  const slot = Math.min(Math.floor((phase.since + dueAt) / plan.slot_milliseconds), plan.slots - 1);
  if (slot >= 0) slots[slot].add(milliseconds);
  if (outcome === '') {
    right[phase.name].add(milliseconds);
    return;
  }
  if (outcome === 'overloaded') overloaded[phase.name].add(milliseconds);
  if (outcome === 'refused') {
    refused.add(1);
    return;
  }
  errors.add(1);
  transports[transport].errors.add(1);
  if (slot >= 0) slotErrors[slot].add(1);
  (codes[outcome] || codes.other).add(1);
  if (said++ < 1) console.warn(`${transport}: ${outcome}: ${detail}`);
}

export default function () {
  const scenario = exec.scenario;
  const phase = plan.phases[scenario.name];
  const n = scenario.iterationInTest;
  const began = now(phase);
  const dueAt = phase.closed ? began : (n * 1000) / phase.rate;
  const late = Math.max(0, began - dueAt);
  if (phase.measured) lateness.add(late);
  const item = items[(n + phase.offset) % items.length];
  if (item.t === 'stream') return converse(phase, item, dueAt, late);
  if (item.t === 'grpc') return unary(phase, item, dueAt, late);
  return rest(phase, item, dueAt, late);
}

function rest(phase, item, dueAt, late) {
  const binary = item.t === 'binary';
  const headers = Object.assign({}, plan.headers, item.headers);
  const response = http.post(plan.url + item.path, binary ? b64decode(item.body) : item.body, {
    headers,
    timeout: plan.timeout,
    responseType: binary ? 'binary' : 'text',
    redirects: 0,
  });
  const t = response.timings;
  const took = t.blocked + t.connecting + t.tls_handshaking + t.duration;
  let outcome;
  let detail = '';
  if (response.status === 0) {
    outcome = 'transport_error';
    detail = response.error;
  } else if (response.status !== item.status) {
    const text = binary ? ascii(response.body) : response.body;
    if (item.code) outcome = response.status < 300 ? 'accepted_invalid' : 'wrong_code';
    else outcome = codeOf(text, response.status);
    detail = `expected ${item.status}, got ${response.status}: ${String(text).slice(0, 300)}`;
  } else if (item.code) {
    const text = binary ? ascii(response.body) : response.body;
    const code = codeOf(text, response.status);
    outcome = code === item.code ? 'refused' : 'wrong_code';
    detail = `expected ${item.code}, got ${code}`;
  } else {
    try {
      detail = difference(item.want, binary ? fromBinary(response) : fromJson(item, response.body));
      outcome = detail ? 'wrong_answer' : '';
    } catch (error) {
      outcome = 'unreadable';
      detail = String(error);
    }
  }
  record(phase, item.t, late + took, dueAt, outcome, detail);
}

function codeOf(text, status) {
  try {
    return JSON.parse(text).code || `http_${status}`;
  } catch (_) {
    return `http_${status}`;
  }
}

function connected(transport) {
  const address = plan.grpc.addresses[transport];
  const one = clients[address];
  if (!one.connected) {
    one.client.connect(address, { plaintext: plan.grpc.plaintext, timeout: plan.timeout });
    one.connected = true;
  }
  return one.client;
}

function unary(phase, item, dueAt, late) {
  const before = now(phase);
  let response;
  try {
    response = connected(item.t).invoke(INFER, item.message, { metadata: plan.metadata, timeout: plan.timeout });
  } catch (error) {
    record(phase, item.t, late + now(phase) - before, dueAt, 'transport_error', String(error));
    return;
  }
  const took = now(phase) - before;
  let outcome;
  let detail = '';
  if (response.status !== grpc.StatusOK) {
    const code = (response.trailers && [].concat(response.trailers['fivefold-code'])[0]) || `grpc_${response.status}`;
    detail = `expected ${item.code || 'an answer'}, got ${code}: ${response.error && response.error.message}`;
    if (item.code) outcome = code === item.code ? 'refused' : 'wrong_code';
    else outcome = code;
  } else if (item.code) {
    outcome = 'accepted_invalid';
  } else {
    try {
      detail = difference(item.want, fromMessage(response.message));
      outcome = detail ? 'wrong_answer' : '';
    } catch (error) {
      outcome = 'unreadable';
      detail = String(error);
    }
  }
  record(phase, item.t, late + took, dueAt, outcome, detail);
}

// A conversation: the next message goes out when the one before it is answered, so only the first can be late.
function converse(phase, item, dueAt, late) {
  let before = now(phase);
  let at = 0;
  let over = false;
  const close = (outcome, detail) => {
    if (over) return;
    over = true;
    if (outcome) record(phase, item.t, late + now(phase) - before, dueAt, outcome, detail);
  };
  let stream;
  try {
    stream = new grpc.Stream(connected(item.t), STREAM, { metadata: plan.metadata, timeout: plan.timeout });
  } catch (error) {
    close('transport_error', String(error));
    return;
  }
  stream.on('data', (answer) => {
    if (over) return;
    const took = now(phase) - before;
    const part = item.messages[at];
    const body = answer.inferResponse || answer.infer_response || {};
    const refusal = answer.errorMessage || answer.error_message;
    let outcome = '';
    let detail = '';
    if (refusal) {
      const given = body.parameters && body.parameters.code;
      const code = (given && (given.stringParam || given.string_param)) || 'other';
      detail = `expected ${part.code || 'an answer'}, got ${code}: ${refusal}`;
      if (part.code) outcome = code === part.code ? 'refused' : 'wrong_code';
      else outcome = code;
    } else if (part.code) {
      outcome = 'accepted_invalid';
    } else {
      try {
        detail = difference(part.want, fromMessage(body));
        outcome = detail ? 'wrong_answer' : '';
      } catch (error) {
        outcome = 'unreadable';
        detail = String(error);
      }
    }
    record(phase, item.t, (at === 0 ? late : 0) + took, dueAt, outcome, detail);
    at += 1;
    before = now(phase);
    if (at < item.messages.length) {
      stream.write(item.messages[at].message);
    } else {
      close('', '');
      stream.end();
    }
  });
  stream.on('error', (error) => close('transport_error', String(error.message || error)));
  stream.on('end', () => close('transport_error', 'the stream ended before its last answer'));
  stream.write(item.messages[0].message);
}

// Answers, each as {output: flat array}.

function flatten(value, into) {
  if (Array.isArray(value)) for (const one of value) flatten(one, into);
  else into.push(value);
  return into;
}

function fromJson(item, text) {
  const body = JSON.parse(text);
  const out = {};
  if (item.t === 'v2') {
    for (const tensor of body.outputs) out[tensor.name] = tensor.data;
    return out;
  }
  for (const name of Object.keys(item.want)) out[name] = [];
  for (const row of body.predictions) for (const name of Object.keys(item.want)) flatten(row[name], out[name]);
  return out;
}

function fromBinary(response) {
  const length = Number(response.headers['Inference-Header-Content-Length']);
  const head = JSON.parse(ascii(response.body.slice(0, length)));
  const out = {};
  let at = length;
  for (const tensor of head.outputs) {
    const size = tensor.parameters.binary_data_size;
    out[tensor.name] = unpack(tensor.datatype, response.body.slice(at, at + size));
    at += size;
  }
  return out;
}

function fromMessage(message) {
  const raw = message.rawOutputContents || message.raw_output_contents;
  const out = {};
  message.outputs.forEach((tensor, i) => {
    out[tensor.name] = unpack(tensor.datatype, b64decode(raw[i]));
  });
  return out;
}

function ascii(buffer) {
  if (!buffer) return '';
  const bytes = new Uint8Array(buffer);
  let out = '';
  for (let i = 0; i < bytes.length; i += 4096) out += String.fromCharCode.apply(null, bytes.subarray(i, i + 4096));
  return out;
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
}

const WIDTH = {
  BOOL: [1, (v, i) => v.getUint8(i) !== 0],
  INT8: [1, (v, i) => v.getInt8(i)],
  INT16: [2, (v, i) => v.getInt16(i, true)],
  INT32: [4, (v, i) => v.getInt32(i, true)],
  INT64: [8, (v, i) => v.getInt32(i + 4, true) * 4294967296 + v.getUint32(i, true)],
  UINT8: [1, (v, i) => v.getUint8(i)],
  UINT16: [2, (v, i) => v.getUint16(i, true)],
  UINT32: [4, (v, i) => v.getUint32(i, true)],
  UINT64: [8, (v, i) => v.getUint32(i + 4, true) * 4294967296 + v.getUint32(i, true)],
  FP16: [2, (v, i) => half(v.getUint16(i, true))],
  FP32: [4, (v, i) => v.getFloat32(i, true)],
  FP64: [8, (v, i) => v.getFloat64(i, true)],
};

function unpack(datatype, buffer) {
  const view = new DataView(buffer);
  const out = [];
  if (datatype === 'BYTES') {
    for (let at = 0; at < view.byteLength; ) {
      const size = view.getUint32(at, true);
      out.push(buffer.slice(at + 4, at + 4 + size));
      at += 4 + size;
    }
    return out;
  }
  const [width, read] = WIDTH[datatype];
  for (let at = 0; at < view.byteLength; at += width) out.push(read(view, at));
  return out;
}

// What differs between the wanted outputs and those that came, or ''. A null stands for NaN; bytes compare with text,
// or with base64 where the field is `bytes`.
function difference(want, got) {
  for (const name of Object.keys(want)) {
    const ours = want[name];
    const theirs = got[name];
    if (!theirs || theirs.length !== ours.length) return `${name}: expected ${ours.length} values`;
    for (let i = 0; i < ours.length; i++) {
      const a = ours[i];
      let b = theirs[i];
      if (b instanceof ArrayBuffer) b = plan.bytes.includes(name) ? b64encode(b) : decodeURIComponent(escape(ascii(b)));
      if (a === b) continue;
      if (a === null && (b === null || Number.isNaN(b) || plan.nulls[name] === b)) continue;
      if (typeof a === 'number' && Math.abs(a - b) <= plan.tolerance * Math.max(1, Math.abs(a))) continue;
      return `${name}[${i}]: expected ${a}, got ${b}`;
    }
  }
  return '';
}

export function handleSummary(data) {
  return { [plan.output]: JSON.stringify(data.metrics) };
}
