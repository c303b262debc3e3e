"""Start a training run from the weights of another prior, to adapt it to own data."""

from sigpy_priors.package import load_prior

__all__ = ["start_from"]


def start_from(net, name):
    """Copy a prior's weights into a network that is about to be trained.

    Args:
        net (Module): the network, changed in place.
        name (str): prior, a bundled name or a file.

    Raises:
        ValueError: if the prior has no torch network, or another one.
    """
    prior = load_prior(name, runtime="torch")
    model = getattr(prior, "model", None)
    if model is None:
        raise ValueError(f"init: {name} has no network of torch: {prior!r}.")
    have, want = model.state_dict(), net.state_dict()
    wrong = [k for k in want if k not in have or have[k].shape != want[k].shape]
    wrong += [k for k in have if k not in want]
    if wrong:
        raise ValueError(
            f"init: {name} is another network than this config's, {len(wrong)} of "
            f"{len(want)} weights differ in name or shape ({', '.join(wrong[:3])}, ...): "
            f"set model.architecture and model.options to those of its card "
            f"(sigpy-priors info {name})."
        )
    net.load_state_dict(have)
