// Turn a plain chain spec into a raw one by asking its own runtime to build the genesis state.
// usage: CHOPSTICKS_DIR=… node plain2raw.cjs PLAIN.json RAW.json
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

const req = createRequire(path.join(process.env.CHOPSTICKS_DIR, 'package.json'));
const core = req('@acala-network/chopsticks-core');
const { compactAddLength, compactFromU8a, hexToU8a, stringToU8a, u8aToHex } = req('@polkadot/util');

const CODE = '0x3a636f6465';

async function callGenesisBuilder(code, name, argument) {
  const state = { [CODE]: code };
  const response = await core.runTask(
    { wasm: code, calls: [[name, [argument]]], mockSignatureHost: false, allowUnresolvedImports: true, runtimeLogLevel: 0 },
    { ...core.emptyTaskHandler, getStorage: async (key) => state[key], getNextKey: async () => undefined });
  if (response.Error) throw new Error(`${name}: ${response.Error}`);
  return response.Call;
}

function isObject(value) {
  return value && typeof value === 'object' && !Array.isArray(value);
}

function merge(into, patch) {
  for (const key in patch) {
    if (isObject(patch[key]) && isObject(into[key])) merge(into[key], patch[key]);
    else into[key] = patch[key];
  }
  return into;
}

async function defaultConfig(code) {
  const bytes = hexToU8a((await callGenesisBuilder(code, 'GenesisBuilder_get_preset', '0x00')).result); // Option<Vec<u8>>
  const [offset] = compactFromU8a(bytes.subarray(1));
  return JSON.parse(Buffer.from(bytes.subarray(1 + offset)).toString());
}

async function main() {
  const spec = JSON.parse(fs.readFileSync(process.argv[2]));
  const { code, patch, config } = spec.genesis.runtimeGenesis;
  const merged = patch ? merge(await defaultConfig(code), patch) : config;
  const built = await callGenesisBuilder(
    code, 'GenesisBuilder_build_state', u8aToHex(compactAddLength(stringToU8a(JSON.stringify(merged)))));
  const top = { [CODE]: code };
  for (const [key, value] of built.storageDiff) if (value !== null) top[key] = value;
  const sorted = {};
  for (const key of Object.keys(top).sort()) sorted[key] = top[key];
  fs.writeFileSync(process.argv[3], JSON.stringify({ ...spec, genesis: { raw: { top: sorted, childrenDefault: {} } } }));
  process.exit(0);
}

main().catch((error) => { console.error('FATAL', error); process.exit(1); });
