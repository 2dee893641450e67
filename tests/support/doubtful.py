"""A pack of three tasks, and a message that may be about either of two of them."""

PACK = """
name: desk
brief: Be polite.
settings: {thresholds: {sure: 0.9, shortlist: 0.5}, shortlist: 2, tuning: auto, holdout: 0.0, level: brief}
metrics: {resolved: {type: boolean, primary: true, horizon: 72h, default: true}}
tasks:
  order:
    brief: Ask for the order.
    tasks:
      refund:
        about: The customer wants money back
        examples: [refund please, I want my money back, give me a refund, pay me back, can I get a refund]
        brief: Help with the refund.
      parcel:
        about: The customer waits for a parcel
        examples: [where is my parcel, track my parcel, my delivery is late, when does it arrive, has it shipped]
        brief: Say where the parcel is.
  hours:
    examples: [when do you open, are you open on Sunday, what are your opening hours, until when are you open]
    brief: Name the hours.
"""
EITHER = "refund the parcel"
LISTED = {"/order/refund", "/order/parcel"}
"""Its shortlist, below `/order`."""
