// A model's arrays, allocated as model.py does, and the passes run on them.
// TABLE: {parameters, inputs, activations}, each a list of {name, dims}, from names.py.

// The size of each dim: {V, C, H, D, F, T} of a config; B and T of the tokens come with them.
function allocate(entries, sizes, make = empty) {
  const arrays = {};
  for (const { name, dims } of entries) arrays[name] = make(dims.split(" ").filter(Boolean).map((dim) => sizes[dim]), name);
  return arrays;
}

// Whether W_o is there is the engine's to say (has_W_o).
function parameter_shapes(table, sizes) {
  const shapes = allocate(table.parameters, sizes, (shape) => shape);
  if (!engine.has_W_o(sizes.C, sizes.H, sizes.D)) shapes.W_o = [0, 0, 0];
  return shapes;
}

function count(shape) {
  return shape.reduce((product, size) => product * size, 1);
}

// Parameters as views into one vector: writing to one writes to the other.
function unflatten(theta, shapes) {
  const params = {};
  let start = 0;
  for (const name of Object.keys(shapes)) {
    params[name] = new NDArray(theta, shapes[name], start);
    start += count(shapes[name]);
  }
  return params;
}

// Arrays for one forward pass, or for its gradients, over B sequences of T tokens.
function empty_cache(table, sizes, B, T, use_residual) {
  return {
    tokens: empty([B, T]), targets: empty([B, T]), use_residual,
    ...allocate(table.activations, { ...sizes, B, T }),
  };
}

// Arrays for the gradients of a cache: it carries the same inputs.
function gradient_cache(table, sizes, cache) {
  const [B, T] = cache.tokens.shape;
  return { ...empty_cache(table, sizes, B, T, cache.use_residual), tokens: cache.tokens, targets: cache.targets };
}

// Arrays for training, made once: theta is changed in place.
function new_trainer(table, sizes, theta, B, use_residual) {
  const shapes = parameter_shapes(table, sizes);
  const gradient = new Float64Array(theta.length);
  const vector = (data) => new NDArray(data, [data.length]);
  const cache = empty_cache(table, sizes, B, sizes.T, use_residual);
  const dcache = gradient_cache(table, sizes, cache);
  return {
    params: unflatten(theta, shapes), dparams: unflatten(gradient, shapes), cache, dcache, step: 0,
    theta: vector(theta), gradient: vector(gradient),
    m: vector(new Float64Array(theta.length)), v: vector(new Float64Array(theta.length)),
  };
}

// Run the rows of `batches` (steps, B) as training steps; the rate is the same for all of them.
function run_steps(trainer, windows, batches, rate, settings) {
  const rates = new NDArray(Float64Array.of(rate), [1], 0, 0);
  const { params, theta, m, v, cache, dparams, gradient, dcache, step } = trainer;
  engine.train_steps(params, theta, m, v, cache, dparams, gradient, dcache, windows, batches, step, rates, settings);
  trainer.step += batches.shape[0];
}
