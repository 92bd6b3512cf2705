"""ablate: overwrite activations and see what becomes of the answers."""

from scratchformer.commands.arguments import METRIC, STEP, TRAINED, Argument
from scratchformer.commands.trained import read_metric, requested_run, train_model

HELP = "overwrite activations, see how the answers change"
EXAMPLE = 'ablate plus_last_even "attention[+ -> odd]" "v=mean"'
FLAGS = (Argument("--ablate", 'what to overwrite, as in "attention[+ -> odd]"', "WHAT", many="append"),)
ARGUMENTS = (*TRAINED, STEP, METRIC)


def run(args):
    """Print what all the interventions at once do to the answers."""
    metric, run = read_metric(args), requested_run(args)
    from scratchformer.analysis.interventions import ablate, ablation_report
    from scratchformer.analysis.selectors import parse_intervention

    edits = [parse_intervention(text, run.untrained) for text in args.ablate]
    model, _ = train_model(args, run)
    print(ablation_report(ablate(model, edits, metric)))
    return 0
