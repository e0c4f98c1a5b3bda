"""Consistency: is what a model says of a subject what is said of others that share its new object?

The cosine of TF-IDF vectors, as Meng et al. have it (2022, "Locating and Editing Factual Associations in
GPT"), whose weights are of Wikipedia; here they are of the reference texts themselves.
"""

from collections.abc import Mapping, Sequence

from reedit.prepare.reference_texts import Key


class ReferenceTexts:
    """The reference texts of targets, which weigh words by how few of all the texts have them."""

    def __init__(self, texts: Mapping[Key, Sequence[str]]) -> None:
        """`texts` by relation and target; of none at all, nothing has a consistency."""
        self.texts = texts
        if texts:
            from sklearn.feature_extraction.text import TfidfVectorizer  # seconds that few jobs need wait

            self._weighed = TfidfVectorizer().fit([text for of_key in texts.values() for text in of_key])

    def consistency(self, key: Key | None, texts: Sequence[str]) -> float | None:
        """The cosine, 0 to 1, of `texts` as one and of a target's reference texts as one.

        0 where they share no word, None where the target is not named or has no reference texts.
        """
        known = self.texts.get(key, ()) if key else ()
        if not known:
            return None
        ours, theirs = self._weighed.transform([" ".join(texts), " ".join(known)])  # of length 1 or 0
        return float(ours.multiply(theirs).sum())
