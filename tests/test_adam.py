import numpy as np

from scratchformer.engine.adam import AdamSettings, adam_update


def test_first_step_by_hand():
    theta, gradient = np.array([1.0, -2.0]), np.array([0.5, -4.0])
    m, v = np.zeros(2), np.zeros(2)
    adam_update(theta, gradient, m, v, 1, 0.1, AdamSettings(0.9, 0.999, 1e-8, 0.01))
    # m = 0.1 g and v = 0.001 g², so both corrections give back g and g²: the direction is sign(g)
    np.testing.assert_allclose(m, [0.05, -0.4], rtol=1e-15)
    np.testing.assert_allclose(v, [0.00025, 0.016], rtol=1e-12)
    np.testing.assert_allclose(theta, [1 - 0.1 * (1 + 0.01), -2 - 0.1 * (-1 - 0.02)], rtol=1e-7)


def test_decay_does_not_go_through_the_gradient():
    theta, m, v = np.array([3.0]), np.zeros(1), np.zeros(1)
    adam_update(theta, np.zeros(1), m, v, 1, 0.5, AdamSettings(0.9, 0.999, 1e-8, 0.1))
    np.testing.assert_allclose(theta, 3 - 0.5 * 0.1 * 3)
    assert m[0] == 0 and v[0] == 0


def test_many_steps_against_the_formula():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=5)
    expected, m, v = theta.copy(), np.zeros(5), np.zeros(5)
    expected_m, expected_v = np.zeros(5), np.zeros(5)
    for step in range(1, 8):
        g = rng.normal(size=5)
        adam_update(theta, g, m, v, step, 0.01, AdamSettings(0.8, 0.9, 1e-6, 0.02))
        expected_m = 0.8 * expected_m + 0.2 * g
        expected_v = 0.9 * expected_v + 0.1 * g**2
        direction = expected_m / (1 - 0.8**step) / (np.sqrt(expected_v / (1 - 0.9**step)) + 1e-6)
        expected = expected - 0.01 * direction - 0.01 * 0.02 * expected
    np.testing.assert_allclose(theta, expected, rtol=1e-12)
