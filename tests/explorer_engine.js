// Reads cases from the file it is given, runs the translated engine on them, writes all arrays as JSON.
// The translated engine stands above this in the file that node runs.
const { readFileSync } = require("fs");

const input = JSON.parse(readFileSync(process.argv[2], "utf8"));
const listed = (arrays) => Object.fromEntries(Object.entries(arrays)
  .filter(([, array]) => array instanceof NDArray).map(([name, array]) => [name, Array.from(array.values())]));

const results = input.cases.map(({ sizes, theta, tokens, targets, use_residual }) => {
  const shapes = parameter_shapes(input.table, sizes);
  const params = unflatten(Float64Array.from(theta), shapes);
  const dparams = unflatten(new Float64Array(theta.length), shapes);
  const B = tokens.length, T = tokens[0].length;
  const cache = empty_cache(input.table, sizes, B, T, use_residual);
  const dcache = gradient_cache(input.table, sizes, cache);
  cache.tokens.data.set(tokens.flat());
  cache.targets.data.set(targets.flat());
  engine.forward_pass(params, cache);
  engine.backward_pass(params, cache, dparams, dcache);
  return { cache: listed(cache), dparams: listed(dparams), dcache: listed(dcache) };
});

const trained = input.trainings.map(({ sizes, theta, windows, batches, rate, settings, use_residual }) => {
  const trainer = new_trainer(input.table, sizes, Float64Array.from(theta), batches[0].length, use_residual);
  const matrix = (rows) => new NDArray(Float64Array.from(rows.flat()), [rows.length, rows[0].length]);
  run_steps(trainer, matrix(windows), matrix(batches), rate, settings);
  return Array.from(trainer.theta.data);
});
process.stdout.write(JSON.stringify({ results, trained }, (key, value) => (Number.isNaN(value) ? "nan" : value)));
