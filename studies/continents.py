"""Continents: a second question about the same countries, with few answers where capitals have many."""

from llm_bridge import Problem
from llm_bridge.tasks.capitals import Capitals, first_word

_CONTINENTS = {
    "Africa": (
        "Algeria; Angola; Benin; Botswana; Burkina Faso; Burundi; Cameroon; Cape Verde; Chad; the Comoros;"
        " Egypt; Eritrea; Eswatini; Ethiopia; Gabon; the Gambia; Ghana; Guinea; Guinea-Bissau; Ivory Coast;"
        " Kenya; Lesotho; Liberia; Libya; Madagascar; Malawi; Mali; Mauritania; Mauritius; Morocco;"
        " Mozambique; Namibia; Niger; Nigeria; the Republic of the Congo; Rwanda; Senegal; Seychelles; Sierra"
        " Leone; Somalia; Sudan; Tanzania; Togo; Tunisia; Uganda; Zambia; Zimbabwe; the Democratic Republic"
        " of the Congo"
    ),
    "Asia": (
        "Afghanistan; Bahrain; Bangladesh; Bhutan; Brunei; Cambodia; China; India; Indonesia; Iran; Iraq;"
        " Japan; Jordan; Kyrgyzstan; Laos; Lebanon; Malaysia; the Maldives; Mongolia; Myanmar; Nepal; North"
        " Korea; Oman; Pakistan; the Philippines; Qatar; Saudi Arabia; South Korea; Sri Lanka; Syria;"
        " Tajikistan; Thailand; Turkmenistan; the United Arab Emirates; Uzbekistan; Vietnam; Yemen"
    ),
    "Europe": (
        "Albania; Austria; Belarus; Belgium; Bosnia and Herzegovina; Bulgaria; Croatia; the Czech Republic;"
        " Denmark; Estonia; Finland; France; Germany; Greece; Hungary; Iceland; Ireland; Italy; Latvia;"
        " Liechtenstein; Lithuania; Malta; Moldova; Montenegro; the Netherlands; North Macedonia; Norway;"
        " Poland; Portugal; Romania; Serbia; Slovakia; Slovenia; Spain; Sweden; Switzerland; Ukraine; the"
        " United Kingdom"
    ),
    "South America": (
        "Argentina; Bolivia; Brazil; Chile; Colombia; Ecuador; Guyana; Paraguay; Peru; Suriname; Uruguay;"
        " Venezuela"
    ),
    "North America": (
        "Canada; Costa Rica; Cuba; the Dominican Republic; El Salvador; Haiti; Honduras; Jamaica; Nicaragua;"
        " the United States"
    ),
}
# Countries on two continents, or on islands that maps count differently, are left out.


class Continents(Capitals):
    """One problem a country of `capitals`; the answer is the first word of the completion ("North", "South"
    for the Americas).
    """

    name = "continents"
    description = "continents, 'France is a country on the continent of', judged by the first word"

    def _build(self):
        problems = []
        for continent, countries in _CONTINENTS.items():
            for country in countries.split("; "):
                accepted = (first_word(continent),)
                prompt = f"{country[0].upper()}{country[1:]} is a country on the continent of"
                problems.append(
                    Problem(
                        prompt, accepted[0], {"country": country, "capital": continent, "accepted": accepted}
                    )
                )
        return tuple(sorted(problems, key=lambda problem: problem.data["country"]))

    def rephrase(self, problem):
        country = problem.data["country"]
        return (f"The continent of {country} is", f"{country[0].upper()}{country[1:]} is in")
