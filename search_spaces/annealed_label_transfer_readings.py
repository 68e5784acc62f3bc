"""What annealed label transfer's paper leaves open, and the settings that decide it (Florea et al. 2019, algorithm 1, section 4)."""

from search_spaces.claims import Reading

READINGS = (
    Reading(
        "gate_loss",
        "Gate: a step is kept if L_v - L_v2 > beta(T); algorithm 1 prints L_v, the loss on the validation set, without a sum or a mean.",
        {
            "sum": "summed over the gate's images. In a measurement on the embedded faces (rate .06, statistics kept, one seed) 15 to 26 %"
            " of the steps were kept while T > 0, more of them late than early; at the printed rate of .001 none was. The default was"
            " chosen by this share, not by test scores (benchmarks/RESULTS.md)",
            "mean": "the mean over the gate's images. In the same measurement next to no step was kept while T > 0",
        },
    ),
    Reading(
        "statistics",
        "Batch normalisation: the paper does not say whether an unlabelled batch moves the running statistics.",
        {
            "kept": "it does not, in any strategy: they are those of the labelled batches, and a gate judges the weights alone",
            "moved": "it does, in every strategy; part of a gate's margin is then theirs",
        },
    ),
    Reading(
        "noise",
        "Noise: algorithm 1 adds T xi, with xi uniform in [-1, 1], to the loss of the pseudo-labels; a constant has no gradient.",
        {
            "scale": "it scales this loss, and so the step: the paper calls the randomisation unitary and compares it with random rates",
            "literal": "the words: it changes the printed loss and no weight",
            "logits": "it is drawn for each class score and added to the scores",
        },
    ),
    Reading(
        "temperature",
        "Temperature: T0 is 0.2 of the main loss function; the paper does not say of which of its values.",
        {"0.2": "a share of the mean supervised loss on the gate set before training, about ln C for C classes"},
    ),
    Reading(
        "weight",
        "Pseudo-labels: the paper cites Lee and states no weight of the unlabelled loss.",
        {
            "3.0": "Lee's, after a ramp from a tenth to six tenths of the epochs",
            "1.0": "a third of Lee's, after a ramp from a tenth to six tenths of the epochs: in a short training pseudo-labels are poor",
        },
    ),
    Reading(
        "rates",
        "ALRAO: the paper states no range of learning rates.",
        {
            "[1e-05, 1.0]": "the cited paper's defaults, log-uniform",
            "[0.01, 10.0]": "log-uniform; a short training has too few steps for the cited paper's 1e-5",
        },
    ),
    Reading("momentum", "SGD: the paper states no momentum.", {"0.9": "the usual value; ALRAO has none"}),
    Reading(
        "weight_decay",
        "L2 regularisation: the paper states no factor.",
        {"0.0005": "the usual value of both networks"},
    ),
    Reading(
        "batch",
        "Batches: the paper states no size.",
        {"64": "labelled images of a step, and as many unlabelled ones", "32": "labelled images of a step, and as many unlabelled ones"},
    ),
    Reading(
        "augmentation.flip",
        "Flips: the paper mentions augmentation and does not say which.",
        {"0.5": "half of the images are mirrored, drawn anew in each epoch"},
    ),
    Reading(
        "augmentation.scale",
        "Crops: the paper states none in training.",
        {"[0.8, 1.0]": "a crop keeps 80 to 100 % of the image's area, drawn anew in each epoch"},
    ),
    Reading(
        "years",
        "Unlabelled children: the paper takes those of IMDB-WIKI between 1 and 10 years, and sorts out two thirds of them by eye.",
        {
            "1-10": "the words; none is sorted out by eye",
            "null": "not given: all ages, or 12 or under with population=children",
        },
        of="imdb_wiki",
    ),
)
