"""References: the papers behind a run, as BibTeX and as lines of a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import bids_synth

CITED = re.compile(r"\[@([a-z0-9_]+)\]")
"""A citation in a text, as pandoc writes it: `[@avants2011]`."""


@dataclass(frozen=True)
class Reference:
    """One paper, or one program."""

    kind: str
    """Of BibTeX: article, inproceedings, software, misc."""
    authors: str
    """`Last, First and Last, First`; a body of people in braces."""
    title: str
    year: str = ""
    place: str = ""
    """Journal with volume and pages, proceedings, archive."""
    doi: str = ""
    version: str = ""

    @property
    def short(self) -> str:
        """As a text names it.

        >>> REFERENCES["hoopes2022"].short, REFERENCES["bids_synth"].short
        ('Hoopes et al., 2022', 'The bids_synth developers, 2026')
        """
        names = self.authors.split(" and ")
        first = names[0].split(",")[0].strip("{}")
        last = " et al." if len(names) > 2 else ""
        if len(names) == 2:
            last = f" and {names[1].split(',')[0]}"
        return ", ".join(filter(None, [f"{first}{last}", self.year]))

    @property
    def line(self) -> str:
        """As a list of references has it, in one line."""
        people = self.authors.replace("{", "").replace("}", "").replace(" and ", "; ")
        people = people.replace("; others", "; et al")
        version = f"Version {self.version}" if self.version else ""
        link = f"https://doi.org/{self.doi}" if self.doi else ""
        year = f" ({self.year})" if self.year else ""
        rest = [text for text in (self.title, version, self.place) if text]
        return f"{people}{year}. {'. '.join(rest)}. {link}".strip()

    def bibtex(self, key: str) -> str:
        """The entry of a BibTeX file."""
        place = {"article": "journal", "inproceedings": "booktitle"}.get(self.kind, "howpublished")
        fields = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            "year": self.year,
            place: self.place,
            "version": self.version,
            "doi": self.doi,
        }
        lines = [f"  {name} = {{{_tex(text)}}}" for name, text in fields.items() if text]
        return f"@{self.kind}{{{key},\n" + ",\n".join(lines) + "\n}\n"


def _tex(text: str) -> str:
    return re.sub(r"(?<!\\)([_&%#])", r"\\\1", text)


REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {
        "bids_synth": Reference(
            "software",
            "{The bids_synth developers}",
            "bids_synth: the brain images that a BIDS dataset lacks, and how far to trust them",
            "2026",
            version=bids_synth.__version__,
        ),
        "avants2011": Reference(
            "article",
            "Avants, Brian B. and Tustison, Nicholas J. and Song, Gang and Cook, Philip A. and "
            "Klein, Arno and Gee, James C.",
            "A reproducible evaluation of ANTs similarity metric performance in brain image "
            "registration",
            "2011",
            "NeuroImage 54:2033-2044",
            "10.1016/j.neuroimage.2010.09.025",
        ),
        "tustison2010": Reference(
            "article",
            "Tustison, Nicholas J. and Avants, Brian B. and Cook, Philip A. and Zheng, Yuanjie "
            "and Egan, Alexander and Yushkevich, Paul A. and Gee, James C.",
            "N4ITK: improved N3 bias correction",
            "2010",
            "IEEE Transactions on Medical Imaging 29:1310-1320",
            "10.1109/TMI.2010.2046908",
        ),
        "fonov2011": Reference(
            "article",
            "Fonov, Vladimir and Evans, Alan C. and Botteron, Kelly and Almli, C. Robert and "
            "McKinstry, Robert C. and Collins, D. Louis",
            "Unbiased average age-appropriate atlases for pediatric studies",
            "2011",
            "NeuroImage 54:313-327",
            "10.1016/j.neuroimage.2010.07.033",
        ),
        "gorgolewski2011": Reference(
            "article",
            "Gorgolewski, Krzysztof and Burns, Christopher D. and Madison, Cindee and Clark, Dav "
            "and Halchenko, Yaroslav O. and Waskom, Michael L. and Ghosh, Satrajit S.",
            "Nipype: a flexible, lightweight and extensible neuroimaging data processing "
            "framework in Python",
            "2011",
            "Frontiers in Neuroinformatics 5:13",
            "10.3389/fninf.2011.00013",
        ),
        "gorgolewski2016": Reference(
            "article",
            "Gorgolewski, Krzysztof J. and Auer, Tibor and Calhoun, Vince D. and others",
            "The brain imaging data structure, a format for organizing and describing outputs of "
            "neuroimaging experiments",
            "2016",
            "Scientific Data 3:160044",
            "10.1038/sdata.2016.44",
        ),
        "yarkoni2019": Reference(
            "article",
            "Yarkoni, Tal and Markiewicz, Christopher J. and de la Vega, Alejandro and others",
            "PyBIDS: Python tools for BIDS datasets",
            "2019",
            "Journal of Open Source Software 4:1294",
            "10.21105/joss.01294",
        ),
        "paszke2019": Reference(
            "inproceedings",
            "Paszke, Adam and Gross, Sam and Massa, Francisco and others",
            "PyTorch: an imperative style, high-performance deep learning library",
            "2019",
            "Advances in Neural Information Processing Systems 32",
        ),
        "cardoso2022": Reference(
            "misc",
            "Cardoso, M. Jorge and Li, Wenqi and Brown, Richard and others",
            "MONAI: an open-source framework for deep learning in healthcare",
            "2022",
            "arXiv:2211.02701",
            "10.48550/arXiv.2211.02701",
        ),
        "brett": Reference(
            "software",
            "Brett, Matthew and Markiewicz, Christopher J. and Hanke, Michael and others",
            "nipy/nibabel",
            place="Zenodo",
            doi="10.5281/zenodo.591597",
        ),
        "billot2023": Reference(
            "article",
            "Billot, Benjamin and Greve, Douglas N. and Puonti, Oula and others",
            "SynthSeg: segmentation of brain MRI scans of any contrast and resolution without "
            "retraining",
            "2023",
            "Medical Image Analysis 86:102789",
            "10.1016/j.media.2023.102789",
        ),
        "hoopes2022": Reference(
            "article",
            "Hoopes, Andrew and Mora, Jocelyn S. and Dalca, Adrian V. and Fischl, Bruce and "
            "Hoffmann, Malte",
            "SynthStrip: skull-stripping for any brain image",
            "2022",
            "NeuroImage 260:119474",
            "10.1016/j.neuroimage.2022.119474",
        ),
        "isensee2019": Reference(
            "article",
            "Isensee, Fabian and Schell, Marianne and Pflueger, Irada and others",
            "Automated brain extraction of multisequence MRI using artificial neural networks",
            "2019",
            "Human Brain Mapping 40:4952-4964",
            "10.1002/hbm.24750",
        ),
        "lei2018": Reference(
            "article",
            "Lei, Jing and G'Sell, Max and Rinaldo, Alessandro and Tibshirani, Ryan J. and "
            "Wasserman, Larry",
            "Distribution-free predictive inference for regression",
            "2018",
            "Journal of the American Statistical Association 113:1094-1111",
            "10.1080/01621459.2017.1307116",
        ),
    }
)
"""Key of a citation -> what it cites."""


def cited(text: str) -> dict[str, Reference]:
    """The references of a text by key, in the order of their first citation; KeyError for none.

    >>> list(cited("After N4 [@tustison2010], by ANTs [@avants2011]; again [@tustison2010]."))
    ['tustison2010', 'avants2011']
    """
    return {key: REFERENCES[key] for key in dict.fromkeys(CITED.findall(text))}
