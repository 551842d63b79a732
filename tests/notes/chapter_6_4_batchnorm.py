"""Chapter 6.4: batch normalization."""

import inspect
import math

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .nets import deep_relu, loss_on_digits


def sample(n, m=3, seed=0, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(n, m, dtype=torch.float64, generator=generator)


def normalised(x, eps=0.0):
    """The printed formula: less the mean of the batch, by its deviation."""
    mu = x.mean(0)
    variance = ((x - mu) ** 2).mean(0)
    return (x - mu) / (variance + eps).sqrt()


def batch_norm(features=3, **kwargs):
    return nn.BatchNorm1d(features, **kwargs).double()


@note(
    "6.4",
    says="mu = mean of x, sigma^2 = mean of (x - mu)^2, x_hat = (x - mu) / sqrt(sigma^2 + "
    "epsilon).",
    verdict="right",
    truth="What BatchNorm does in training, here and in torch, with 1/m and not 1/(m - 1) in "
    "sigma^2; at test time mu and sigma^2 are running averages instead, which the notes leave "
    "out.",
)
def the_printed_formula_is_batchnorm_in_training():
    x, layer = sample(10, scale=3, shift=5), batch_norm()
    printed = normalised(x, eps=1e-5)
    assert_close(layer(x), printed)
    assert_close(torch.nn.functional.batch_norm(x, None, None, training=True), printed)
    x_hat = (x - layer.running_mean) / (layer.running_var + 1e-5).sqrt()
    assert_close(layer.eval()(x), x_hat)
    assert not torch.allclose(x_hat, printed)


@note(
    "6.4",
    says="BN stands between every fully connected layer and its activation.",
    verdict="conditional",
    truth="There it standardises what enters the activation: ReLU gives on a mean of 0.40 then. "
    "To give the next layer a mean of 0 it has to stand behind the activation.",
)
def batchnorm_in_front_of_relu_does_not_centre_its_output():
    x = sample(2000)
    before, behind = nn.functional.relu(batch_norm()(x)), batch_norm()(nn.functional.relu(x))
    half_normal = torch.full((3,), 1 / (2 * math.pi) ** 0.5).double()
    assert_close(before.mean(0), half_normal, rtol=0, atol=0.02)
    assert_close(behind.mean(0), torch.zeros(3).double())


@note(
    "6.4",
    says="BN normalises w x + b, feature by feature.",
    verdict="right",
    truth="Every feature by its own mean and deviation. b goes away with the mean, so a layer in "
    "front of BN needs none: its gradient is 0.",
)
def the_bias_in_front_of_batchnorm_is_taken_away():
    x, b = sample(10), sample(1, seed=1)[0].requires_grad_()
    layer = batch_norm()
    y = layer(x + b)
    assert_close(y, layer(x))
    (y * sample(10, seed=2)).sum().backward()
    assert_close(b.grad, torch.zeros(3).double(), rtol=0, atol=1e-12)
    scaled = layer(x * torch.tensor([1, 10, 100]).double())
    assert_close(scaled, y.detach(), rtol=1e-4, atol=1e-5)


@note(
    "6.4",
    says="Normalization scales all features to [0, 1].",
    verdict="wrong",
    truth="To a mean of 0 and a variance of 1: half of the values are below 0, and of a hundred "
    "normal ones some are beyond 2.",
)
def normalised_values_are_not_between_0_and_1():
    y = batch_norm()(sample(100, scale=3, shift=5))
    assert y.min() < -2
    assert y.max() > 2
    assert 0.4 < (y < 0).double().mean() < 0.6


@note(
    "6.4",
    says="So the gradients on the way back are all about 1.",
    verdict="wrong",
    truth="The gradient goes through with a factor of gamma / sigma: inputs 100 times larger get "
    "one 100 times smaller. Through 30 layers of BN and ReLU it grows a hundredfold.",
)
def the_gradient_through_batchnorm_is_divided_by_the_deviation():
    def slope(scale):
        x = sample(10, scale=scale).requires_grad_()
        (batch_norm(eps=1e-20)(x) * sample(10, seed=1)).sum().backward()
        return x.grad

    assert_close(slope(1.0), 100 * slope(100.0))
    gradients = gradients_by_depth(30, normalise=True)
    assert gradients[0] > 50 * gradients[-1]


def gradients_by_depth(depth, normalise, gain=2**0.5, activation=nn.functional.relu):
    """Size of the gradient at the input of every layer, from the first to the last."""
    inputs = [sample(200, 100).requires_grad_()]
    for seed in range(depth):
        a = inputs[-1] @ (gain / 10 * sample(100, 100, seed=seed + 1))
        inputs.append(activation(normalised(a, 1e-5) if normalise else a))
    (inputs[-1] * sample(200, 100, seed=99)).sum().backward(inputs=inputs[:-1])
    return [x.grad.norm().item() for x in inputs[:-1]]


@note(
    "6.4",
    says="BN avoids vanishing gradients.",
    verdict="conditional",
    truth="It does where the weights are too small: through 10 ReLU layers with std 0.01 the "
    "gradient falls to 10^-11, with BN it does not fall. It trades that for growth in deep nets "
    "(about 1.2 per layer), and a ReLU unit with a far negative beta still has no gradient.",
)
def batchnorm_rescues_gradients_from_small_weights():
    faded = gradients_by_depth(10, normalise=False, gain=0.1)
    rescued = gradients_by_depth(10, normalise=True, gain=0.1)
    assert faded[0] < 1e-10 * faded[-1]
    assert rescued[0] > rescued[-1]
    layer = batch_norm()
    torch.nn.init.constant_(layer.bias, -10)
    x = sample(10).requires_grad_()
    nn.functional.relu(layer(x)).sum().backward()
    assert x.grad.abs().max() == 0


@note(
    "6.4",
    says="BN makes learning faster.",
    verdict="conditional",
    truth="On the digits, from weights of 0.01, 60 updates teach a deep net with BN what they do "
    "not teach it without. But a batch of two becomes -1 and 1 whatever was in it: nothing is "
    "left to learn.",
)
def batchnorm_speeds_up_a_badly_started_net_and_empties_a_batch_of_two():
    assert loss_on_digits(deep_relu(std=0.01), updates=60)[0] > 2.3
    assert loss_on_digits(with_batchnorm(deep_relu(std=0.01)), updates=60)[0] < 1
    for seed in range(3):
        assert_close(normalised(sample(2, seed=seed)).abs(), torch.ones(2, 3).double())


def with_batchnorm(net):
    """The same net with BN in front of each activation."""
    layers = []
    for layer in net:
        norm = [nn.BatchNorm1d(100)] if isinstance(layer, nn.ReLU) else []
        layers += [*norm, layer]
    return nn.Sequential(*layers)


@note(
    "6.4",
    says="BN makes training depend less on the initial weights.",
    verdict="right",
    truth="The scale of the weights in front of BN cancels: BN(x c W) = BN(x W).",
)
def the_scale_of_the_weights_cancels():
    x, w, layer = sample(20, 5), sample(5, 3, seed=1), batch_norm(eps=1e-20)
    for c in (1e-3, 1e3):
        assert_close(layer(x @ (c * w)), layer(x @ w))


@note(
    "6.4",
    says="(book) Of 16 scales of weights, no. 8 trains with BN (1.000 on the training images) and "
    "not without (0.116).",
    verdict="right",
    truth="No. 8 of logspace(0, -4, 16) is 0.0074: too small for plain ReLUs, and no matter with "
    "BN. On scikit-learn's digits it is less than a tenth of the loss of guessing against just "
    "that loss; the accuracies, of MNIST, are not recomputed here.",
)
def at_scale_8_only_the_net_with_batchnorm_learns():
    std = torch.logspace(0, -4, 16, dtype=torch.float64)[8].item()
    assert_close(std, 0.0074, rtol=0, atol=5e-5)
    assert_close(loss_on_digits(deep_relu(std=std))[0], math.log(10), rtol=0, atol=1e-3)
    assert loss_on_digits(with_batchnorm(deep_relu(std=std)))[0] < 0.1 * math.log(10)


@note(
    "6.4",
    says="Without BN the distribution drifts away from standard normal on its way forward.",
    verdict="right",
    truth="Standard normal inputs leave five layers of ReLU with std 0.01 at a scale of 10^-6.",
)
def the_signal_drifts_from_layer_to_layer_without_batchnorm():
    def scales(normalise):
        x, found = sample(200, 100), []
        for seed in range(5):
            a = x @ (0.01 * sample(100, 100, seed=seed + 1))
            a = normalised(a) if normalise else a
            found.append(a.std().item())
            x = nn.functional.relu(a)
        return found

    drifting, fixed = scales(normalise=False), scales(normalise=True)
    assert drifting == sorted(drifting, reverse=True)
    assert drifting[-1] < 1e-5
    assert_close(fixed, [1.0] * 5, rtol=1e-2, atol=0)


@note(
    "6.4",
    says="This drift is the internal covariate shift.",
    verdict="conditional",
    truth="Ioffe and Szegedy mean the change in time: as the weights learn, a layer's inputs "
    "change. That is how the notes' English part has it; a drift from layer to layer is there "
    "before any learning.",
)
def covariate_shift_is_a_change_in_time():
    x, target = sample(50, 5), sample(50, 1, seed=3)
    w1, w2 = (w.requires_grad_() for w in (sample(5, 4, seed=1), sample(4, 1, seed=2)))
    before = x @ w1
    ((torch.tanh(before) @ w2 - target) ** 2).mean().backward()
    after = x @ (w1 - 2 * w1.grad)
    assert (after.mean(0) - before.mean(0)).abs().max() > 0.1
    for a in (before, after):
        assert_close(normalised(a).mean(0), torch.zeros(4).double())
        assert_close(normalised(a).std(0, correction=0), torch.ones(4).double())


@note(
    "6.4",
    says="Subtracting the mean and dividing by the deviation gives a standard normal distribution "
    "again.",
    verdict="wrong",
    truth="It gives a mean of 0 and a variance of 1; the shape stays. An exponential distribution "
    "keeps its skewness of 2, where a normal one has 0.",
)
def standardising_does_not_make_a_distribution_normal():
    generator = torch.Generator().manual_seed(0)
    x = torch.empty(20000, 1, dtype=torch.float64).exponential_(generator=generator)

    def skewness(x):
        return (normalised(x) ** 3).mean().item()

    x_hat = normalised(x)
    assert_close(
        (x_hat.mean().item(), x_hat.var(correction=0).item()), (0.0, 1.0), rtol=0, atol=1e-9
    )
    assert_close(skewness(x_hat), skewness(x))
    assert_close(skewness(x_hat), 2.0, rtol=0, atol=0.2)


@note(
    "6.4",
    says="A further affine map keeps what the layer before has learned.",
    verdict="right",
    truth="y = gamma x_hat + beta, which the notes do not print, is the identity for gamma = "
    "sigma and beta = mu: nothing is lost that could not be learned back.",
)
def gamma_and_beta_can_undo_the_normalisation():
    x, layer = sample(10, scale=3, shift=5), batch_norm(eps=1e-20)
    assert not torch.allclose(layer(x), x)
    with torch.no_grad():
        layer.weight.copy_(x.std(0, correction=0))
        layer.bias.copy_(x.mean(0))
    assert_close(layer(x), x)


@note(
    "6.4",
    says="BN forces a zero-mean and one-variance distribution on the next layer.",
    verdict="conditional",
    truth="On x_hat. What the next layer gets, gamma x_hat + beta, has a mean of beta and a "
    "deviation of |gamma|, and both are learned.",
)
def what_leaves_batchnorm_has_the_mean_beta_and_the_deviation_gamma():
    x, layer = sample(10, scale=3, shift=5), batch_norm(eps=1e-20)
    y = layer(x)
    assert_close(y.mean(0), torch.zeros(3).double())
    assert_close(y.std(0, correction=0), torch.ones(3).double())
    with torch.no_grad():
        layer.weight.fill_(-2.0)
        layer.bias.fill_(7.0)
    y = layer(x)
    assert_close(y.mean(0), torch.full((3,), 7.0).double())
    assert_close(y.std(0, correction=0), torch.full((3,), 2.0).double())


@note(
    "6.4",
    says="(1) Normalising the inputs speeds up learning.",
    verdict="right",
    truth="Linear regression on two features of scales 1 and 100 at the largest safe rate: "
    "normalised, 50 updates are plenty; raw, the small feature has hardly moved.",
)
def normalised_inputs_learn_in_fewer_steps():
    raw = sample(200, 2) * torch.tensor([1.0, 100.0]).double()

    def left(x, updates=50):
        wanted = torch.ones(2, dtype=torch.float64)
        hessian = 2 * x.T @ x / len(x)
        w = torch.zeros(2, dtype=torch.float64)
        for _ in range(updates):
            w = w - hessian @ (w - wanted) / torch.linalg.matrix_norm(hessian, 2)
        return (w - wanted).abs().max().item()

    assert left(normalised(raw)) < 1e-6
    assert left(raw) > 0.98


@note(
    "6.4",
    says="(2) A classifier trained on black cats cannot be expected to know coloured ones, even "
    "if one boundary would fit both.",
    verdict="right",
    truth="The weight of a feature that is 0 in all training samples has a gradient of exactly 0: "
    "it keeps its initial value, and what the net says to coloured cats is luck.",
)
def a_feature_that_never_varies_is_never_learned():
    torch.manual_seed(0)
    shape, colour = sample(100, 1), torch.zeros(100, 1).double()
    cat = (shape > 0).double()
    right = {}
    for start in (-5.0, 0.0):
        w = torch.tensor([[0.0], [start]], dtype=torch.float64, requires_grad=True)
        for _ in range(50):
            z = torch.cat([shape, colour], 1) @ w
            (g,) = torch.autograd.grad(nn.functional.binary_cross_entropy_with_logits(z, cat), w)
            assert g[1] == 0
            w = (w - g).detach().requires_grad_()
        z = torch.cat([shape, torch.ones(100, 1).double()], 1) @ w
        right[start] = ((z > 0) == (cat > 0)).double().mean().item()
    assert right[0.0] == 1
    assert right[-5.0] < 0.7


@note(
    "6.4",
    says="(2) With constant inputs the distribution of a hidden layer would be constant, but the "
    "weights in front of it change.",
    verdict="right",
    truth="It is a function of the inputs and of all weights before it: the same twice for the "
    "same weights, another one after a step.",
)
def a_hidden_distribution_changes_only_with_the_weights():
    net = deep_relu(2**0.5)
    x = torch.rand(100, 64, generator=torch.Generator().manual_seed(0))
    before = net[:4](x)
    assert torch.equal(net[:4](x), before)
    loss_on_digits(net, updates=5)
    after = net[:4](x)
    assert (after.mean(0) - before.mean(0)).abs().max() > 0.01


@note(
    "6.4",
    says="(2) With BN a layer learns independently of the layers before it.",
    verdict="conditional",
    truth="Of their scale and shift only: a scaled, shifted input changes nothing, while a layer "
    "before it that mixes its features differently changes everything.",
)
def batchnorm_hides_scale_and_shift_but_no_mixing():
    x, layer = sample(20, 2), batch_norm(2, eps=1e-20)
    assert_close(layer(3 * x + 5), layer(x))
    mixed = x @ torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()
    assert not torch.allclose(layer(mixed), layer(x), atol=0.5)


@note(
    "6.4",
    says="(3) The mean and variance of a mini-batch contain noise, since it has few samples.",
    verdict="right",
    truth="The mean of m samples is off by sigma / sqrt(m): 0.32 for 10, 0.032 for 1000.",
)
def the_noise_of_a_batch_falls_with_the_root_of_its_size():
    for m, noise in ((10, 0.32), (1000, 0.032)):
        means = sample(m, 1000).mean(0)
        assert_close(means.std().item(), noise, rtol=0.1, atol=0)


@note(
    "6.4",
    says="(3) Dropout multiplies an activation by 0 or 1.",
    verdict="conditional",
    truth="In the book's form. In today's, torch's and ours, by 0 or 1 / (1 - p), which is 2 for "
    "0.5.",
)
def dropout_multiplies_by_0_or_2():
    torch.manual_seed(0)
    factors = nn.Dropout(0.5)(torch.ones(1000))
    assert factors.unique().tolist() == [0, 2]
    kept = torch.rand(1000) > 0.5
    assert (torch.ones(1000) * kept).unique().tolist() == [0, 1]


@note(
    "6.4",
    says="(3) This regularises slightly; do not rely on it.",
    verdict="right",
    truth="With batches of 100 the mean is off by a tenth of a deviation, dropout at 0.5 changes "
    "an activation by its own size; and the noise of BN fades as the batch grows.",
)
def batchnorms_noise_is_a_tenth_of_dropouts():
    noise = sample(100, 1000).mean(0).std().item()
    torch.manual_seed(0)
    dropout = nn.Dropout(0.5)(torch.ones(10000)).std().item()
    assert_close(dropout, 1.0, rtol=0, atol=1e-2)
    assert_close(noise, 0.1 * dropout, rtol=0.1, atol=0)


def default(name):
    return inspect.signature(torch.nn.BatchNorm1d).parameters[name].default


@note(
    "6.4",
    says="(book) BN's epsilon is 10e-7.",
    verdict="conditional",
    truth="That is 1e-6, and torch has 1e-5. It matters for a feature that hardly varies: one of "
    "variance 1e-6 gets a deviation of 0.71 in the book and of 0.30 in torch.",
)
def the_books_epsilon_is_a_tenth_of_torchs():
    assert float("10e-7") == 1e-6 == pytest.approx(default("eps") / 10)
    flat = 1e-3 * normalised(sample(100))
    deviations = [
        batch_norm(eps=eps)(flat).std(0, correction=0).max().item() for eps in (1e-6, 1e-5)
    ]
    assert_close(deviations, [0.707, 0.302], rtol=0, atol=1e-3)
    wide = normalised(sample(100))
    assert_close(batch_norm(eps=1e-6)(wide), batch_norm(eps=1e-5)(wide), rtol=1e-5, atol=0)


def running(batches, keep=0.9, variance=0.0):
    """The book's running variance: what it keeps of the old one, and the rest of the batch's."""
    for x in batches:
        variance = keep * variance + (1 - keep) * x.var(0, correction=0)
    return variance


@note(
    "6.4",
    says="(book) BN has a momentum of 0.9.",
    verdict="conditional",
    truth="0.9 is what the book keeps of the old average; torch's momentum, 0.1, is what it takes "
    "of the new one. The running mean is the same.",
)
def the_books_momentum_is_one_minus_torchs():
    assert default("momentum") == 0.1
    layer, mean = batch_norm(), torch.zeros(3).double()
    layer_of_09 = batch_norm(momentum=0.9)
    for seed in range(5):
        x = sample(10, seed=seed, shift=5)
        mean = 0.9 * mean + (1 - 0.9) * x.mean(0)
        layer(x)
        layer_of_09(x)
    assert_close(layer.running_mean, mean)
    assert (layer_of_09.running_mean - mean).abs().min() > 1


@note(
    "6.4",
    says="(book) The running variance averages the variances of the batches.",
    verdict="conditional",
    truth="The biased ones, which are too small by (n - 1) / n; torch averages the unbiased ones. "
    "For batches of 10, 11 % less; for 1000, 0.1 %.",
)
def the_books_running_variance_is_biased():
    for n, ratio in ((10, 10 / 9), (1000, 1000 / 999)):
        layer = batch_norm()
        torch.nn.init.zeros_(layer.running_var)
        batches = [sample(n, seed=seed) for seed in range(5)]
        for x in batches:
            layer(x)
        assert_close(layer.running_var, ratio * running(batches))


@note(
    "6.4",
    says="(book) The running variance starts from 0.",
    verdict="conditional",
    truth="torch's starts from 1. For data of variance 1, ten updates of the book reach 1 - "
    "0.9^10 = 0.65 and let the test see values that are too large; after hundreds both are the "
    "same.",
)
def the_books_running_variance_has_to_grow_first():
    batch = normalised(sample(100))
    torchs = running([batch] * 10, variance=1.0)
    assert batch_norm().running_var.tolist() == [1, 1, 1]
    assert_close(torchs, torch.ones(3).double())
    assert_close(running([batch] * 10), torch.full((3,), 1 - 0.9**10).double())
    assert_close(1 - 0.9**10, 0.65, rtol=0, atol=2e-3)
    assert_close(running([batch] * 300), torchs)


@note(
    "6.4",
    says="(book) BN of images normalises every pixel of every channel on its own.",
    verdict="conditional",
    truth="That is BatchNorm1d on the flattened image. BatchNorm2d has one mean and variance per "
    "channel, which is the same only for images of one pixel.",
)
def the_books_batchnorm_of_images_is_batchnorm1d():
    def book(x):
        return normalised(x.flatten(1), eps=1e-5).view_as(x)

    images = sample(8, 2 * 3 * 3).view(8, 2, 3, 3)
    flat = batch_norm(18)(images.flatten(1)).view_as(images)
    assert_close(book(images), flat)
    assert (book(images) - nn.BatchNorm2d(2).double()(images)).abs().max() > 0.5
    pixels = sample(8, 2).view(8, 2, 1, 1)
    assert_close(book(pixels), nn.BatchNorm2d(2).double()(pixels))


@note(
    "6.4",
    says="(book) The gradient check of the BN network, on one image, proves its backward pass.",
    verdict="wrong",
    truth="With a batch of one x_hat is 0 whatever the image: the gradient of everything before "
    "BN is 0, and a wrong backward pass would agree. torch refuses such a batch.",
)
def a_gradient_check_on_a_batch_of_one_is_vacuous():
    w = sample(3, 3, seed=1).requires_grad_()
    for n, nothing_to_check in ((1, True), (4, False)):
        x_hat = normalised(sample(n) @ w, eps=1e-6)
        assert (x_hat.abs().max() == 0) == nothing_to_check
        (g,) = torch.autograd.grad((x_hat * sample(n, seed=2)).sum(), w)
        assert (g.abs().max() == 0) == nothing_to_check
    for library in (nn, torch.nn):
        with pytest.raises(ValueError, match="more than 1"):
            library.BatchNorm1d(3)(torch.ones(1, 3))


@note(
    "6.4",
    says="(book) The check's stored difference for beta2 is 0.0563.",
    verdict="conditional",
    truth="No error of BN but the kink of ReLU: on a batch of one beta = 0 is exactly where it "
    "bends. A central difference sees half of the slope there, and backward none of it; away from "
    "0 they agree.",
)
def a_central_difference_sees_half_of_the_slope_at_the_kink():
    def both(beta, h=1e-4):
        beta = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
        relu = nn.functional.relu
        (exact,) = torch.autograd.grad(relu(beta), beta)
        return exact.item(), ((relu(beta + h) - relu(beta - h)) / (2 * h)).item()

    assert_close(both(0.0), (0.0, 0.5))
    assert_close(both(0.3), (1.0, 1.0))


@note(
    "6.4",
    says="(book) relu_grad is 1 where x >= 0.",
    verdict="conditional",
    truth="At 0 it contradicts the book's own layer, which lets no gradient through for x <= 0, "
    "as torch and ours do. Everywhere else they agree.",
)
def the_gradient_of_relu_at_0_is_0():
    x = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    nn.functional.relu(x).sum().backward()
    (torchs,) = torch.autograd.grad(torch.relu(x).sum(), x)
    book_function = (x >= 0).float()
    assert x.grad.tolist() == torchs.tolist() == [0, 0, 1]
    assert (x.grad != book_function).tolist() == [False, True, False]
