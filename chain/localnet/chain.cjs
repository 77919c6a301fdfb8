// Serve a deterministic one-machine chain that runs a real runtime.
// usage: CHOPSTICKS_DIR=… node chain.cjs RAW_SPEC.json PORT T0_MS
//
// Three things differ from a plain chopsticks start, each for a reason:
// 1. T0_MS is written as Timestamp.Now into the genesis: chopsticks would use the clock, and no two runs would agree.
// 2. The runtime is asked for its Aura slot length here. The probe of chopsticks refuses runtimes with unresolved
//    imports and falls back to 12 s, on which pallet-aura panics.
// 3. What dev_setStorage and dev_timeTravel write is visible from the NEXT block on only. Left alone they edit the state
//    of the block that is already there, so its timestamp would read as that of another day.
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

const dir = process.env.CHOPSTICKS_DIR;
const req = createRequire(path.join(dir, 'package.json'));
const core = req('@acala-network/chopsticks-core');
const chopsticks = require(dir);
const { hexToBn } = req('@polkadot/util');

const TIMESTAMP_NOW = '0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb';
const CODE = '0x3a636f6465';

function readSpec(file, t0) {
  const spec = JSON.parse(fs.readFileSync(file));
  const top = spec.genesis.raw.top;
  top[TIMESTAMP_NOW] = '0x' + Buffer.from(new BigUint64Array([BigInt(t0)]).buffer).toString('hex');
  const sorted = {};
  for (const key of Object.keys(top).sort()) sorted[key] = top[key];
  spec.genesis.raw.top = sorted;
  return spec;
}

async function slotDurationMs(top) {
  const response = await core.runTask(
    { wasm: top[CODE], calls: [['AuraApi_slot_duration', []]], mockSignatureHost: false, allowUnresolvedImports: true,
      runtimeLogLevel: 0 },
    { ...core.emptyTaskHandler, getStorage: async (key) => top[key] });
  if (!response.Call) throw new Error(`AuraApi_slot_duration: ${response.Error}`);
  return Number(hexToBn(response.Call.result, { isLe: true }).toString());
}

/** Drop, once its child is built, every layer that was written onto a block by hand. */
function keepBlocksAsBuilt(chain) {
  const build = chain.newBlock.bind(chain);
  const depths = new Map([[chain.head.hash, chain.head.storageLayerCount]]);
  chain.newBlock = async (params) => {
    const parent = chain.head;
    const block = await build(params);
    if (depths.has(parent.hash)) parent.resetStorageLayers(depths.get(parent.hash));
    depths.set(block.hash, block.storageLayerCount);
    return block;
  };
}

async function main() {
  const [, , file, port, t0] = process.argv;
  const spec = readSpec(file, t0);
  const top = spec.genesis.raw.top;
  const slot = await slotDurationMs(top);
  core.getAuraSlotDuration.cache.set(top[CODE], Promise.resolve(slot));
  const context = await chopsticks.setupWithServer({
    genesis: spec, port: Number(port), host: '127.0.0.1', 'build-block-mode': core.BuildBlockMode?.Manual ?? 'Manual',
    'mock-signature-host': false, 'allow-unresolved-imports': true, 'runtime-log-level': 0, 'max-memory-block-count': 2000 });
  keepBlocksAsBuilt(context.chain);
  const { head } = context.chain;
  console.log('READY', JSON.stringify({ addr: context.addr, slot, head: head.hash, number: head.number, pid: process.pid }));
}

main().catch((error) => { console.error('FATAL', error); process.exit(1); });
