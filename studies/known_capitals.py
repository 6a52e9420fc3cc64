"""Capitals that SmolLM2-135M-Instruct knows best: a stronger prior for the same model and the same reward."""

from llm_bridge.tasks.capitals import Capitals

# The 96 of the 181 countries whose capital had the largest share of 16 rollouts at temperature 1 (seed 1),
# ties in alphabetical order.
_COUNTRIES = frozenset(
    (
        "Afghanistan; Albania; Algeria; Angola; Antigua and Barbuda; Argentina; Armenia; Australia; Austria;"
        " Azerbaijan; Bahrain; Bangladesh; Barbados; Belarus; Belgium; Belize; Benin; Bhutan; Bolivia; Bosnia"
        " and Herzegovina; Botswana; Brazil; Brunei; Bulgaria; Burkina Faso; Burundi; Cambodia; Cameroon;"
        " Canada; Cape Verde; the Central African Republic; Chad; Chile; China; Colombia; Costa Rica;"
        " Croatia; Cuba; the Czech Republic; the Democratic Republic of the Congo; Denmark; the Dominican"
        " Republic; Egypt; Estonia; Ethiopia; Finland; France; Germany; Greece; Hungary; India; Indonesia;"
        " Iraq; Ireland; Italy; Japan; Kenya; Latvia; Lithuania; Malawi; the Maldives; Mali; Mongolia;"
        " Mozambique; the Netherlands; Nigeria; North Korea; North Macedonia; Norway; Pakistan; Peru; the"
        " Philippines; Portugal; Qatar; Romania; Russia; Senegal; Sierra Leone; Somalia; South Africa; South"
        " Korea; Spain; Sri Lanka; Sweden; Syria; Thailand; Trinidad and Tobago; Turkey; Uganda; Ukraine; the"
        " United Arab Emirates; the United Kingdom; the United States; Uruguay; Vietnam; Yemen"
    ).split("; ")
)


class KnownCapitals(Capitals):
    """`capitals`, restricted to 96 countries; 64 in training leave 32 to evaluate."""

    name = "capitals_known"
    description = "the 96 capitals that SmolLM2-135M-Instruct knows best"

    def _build(self):
        return tuple(problem for problem in super()._build() if problem.data["country"] in _COUNTRIES)
