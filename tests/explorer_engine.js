// Runs the translated engine, which stands above this, on cases: all arrays as JSON. In a browser `run_cases` is
// called; node reads the cases from the file it is given.
const listed = (arrays) => Object.fromEntries(Object.entries(arrays)
  .filter(([, array]) => array instanceof NDArray).map(([name, array]) => [name, Array.from(array.values())]));

const run_case = (table) => ({ sizes, theta, tokens, targets, use_residual }) => {
  const shapes = parameter_shapes(table, sizes);
  const params = unflatten(Float64Array.from(theta), shapes);
  const dparams = unflatten(new Float64Array(theta.length), shapes);
  const B = tokens.length, T = tokens[0].length;
  const cache = empty_cache(table, sizes, B, T, use_residual);
  const dcache = gradient_cache(table, sizes, cache);
  cache.tokens.data.set(tokens.flat());
  cache.targets.data.set(targets.flat());
  engine.forward_pass(params, cache);
  engine.backward_pass(params, cache, dparams, dcache);
  return { cache: listed(cache), dparams: listed(dparams), dcache: listed(dcache) };
};

const run_training = (table) => ({ sizes, theta, windows, batches, rate, settings, use_residual }) => {
  const trainer = new_trainer(table, sizes, Float64Array.from(theta), batches[0].length, use_residual);
  const matrix = (rows) => new NDArray(Float64Array.from(rows.flat()), [rows.length, rows[0].length]);
  run_steps(trainer, matrix(windows), matrix(batches), rate, settings);
  return Array.from(trainer.theta.data);
};

const run_cases = ({ table, cases, trainings }) => JSON.stringify({
  results: cases.map(run_case(table)), trained: trainings.map(run_training(table)),
});

if (typeof process !== "undefined") {
  process.stdout.write(run_cases(JSON.parse(require("fs").readFileSync(process.argv[2], "utf8"))));
}
