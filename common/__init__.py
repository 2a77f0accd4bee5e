"""LASeR-JND: just noticeable difference levels predicted from one frame."""
