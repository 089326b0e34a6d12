// All blocks that one leads to: a version's state, in place of the log (Replica.State.cs), or with what a version has that no log carries (Replica.Files.cs). What is not
// here is asked of all sources.

using System.Buffers;
using Leither.Ipfs;
using Leither.Ipfs.Multiformats;

namespace Leither.Replication;

public sealed partial class Replica
{
    private const int MaxWalkAtOnce = 2000, MaxWalkWants = 128;

    // Blocks that the store was given and has not kept yet.
    private int _puts;

    /// <summary>Goes through a tree of blocks, depth first, so that little is remembered of where it has to go on.</summary>
    /// <param name="replica">Whose it is.</param>
    /// <param name="purpose">What the blocks are wanted for.</param>
    /// <param name="withheld">Is told that nobody gives a block.</param>
    /// <param name="malformed">Is told of a block in which no links can be found, and why.</param>
    /// <param name="failed">Is told that the store did not keep a block.</param>
    private sealed class Walk(Replica replica, Purpose purpose, Action withheld, Action<string> malformed, Action<Exception> failed)
    {
        private readonly Stack<Cid> _ahead = [];
        private int _wants, _puts;
        private bool _isBegun, _isOver;

        /// <summary>Those that lead to others and were walked, or left out.</summary>
        public HashSet<Cid> Branches { get; } = [];

        /// <summary>Whether everything is here and kept.</summary>
        public bool IsWhole => _isBegun && !_isOver && _ahead.Count == 0 && _wants == 0 && _puts == 0;

        /// <summary>Tells that everything below a branch is here, so that it is left out.</summary>
        public Func<Cid, bool>? IsKnown { get; init; }

        public void Begin(in Cid root)
        {
            _isBegun = true;
            _ahead.Clear();
            Branches.Clear();
            _ahead.Push(root);
        }

        /// <summary>What was asked for is of no use any more.</summary>
        public void End() => _isOver = true;

        /// <summary>Goes on as far as it can for now.</summary>
        public void GoOn()
        {
            var block = new ArrayBufferWriter<byte>();
            int steps = 0;
            while (!_isOver && _wants < MaxWalkWants && replica._unapplied < replica._options.MaxUnappliedBytes && _ahead.TryPop(out Cid cid))
            {
                bool isBranch = cid.Codec != Multicodec.Raw;
                if (isBranch && (!Branches.Add(cid) || IsKnown?.Invoke(cid) == true))
                {
                    continue;
                }

                // (A branch that is here and cannot be read any more is asked for: somebody else has it whole.)
                block.ResetWrittenCount();
                if (!replica._store.HasBlock(cid) || (isBranch && !replica._store.TryGetBlock(cid, block)))
                {
                    Ask(cid);
                    continue;
                }

                if (isBranch)
                {
                    Branch(cid, block.WrittenSpan);
                }

                if (++steps >= MaxWalkAtOnce)
                {
                    replica._stepDueMs = replica._now;
                    return;
                }
            }
        }

        /// <summary>Keeps a block that belongs to it.</summary>
        public void Put(in Cid cid, ReadOnlyMemory<byte> bytes)
        {
            _puts++;
            replica._puts++;
            replica._unapplied += bytes.Length;
            replica._arePutsKept = true;
            replica._store.Put(
                replica.Begin(result =>
                {
                    _puts--;
                    replica._puts--;
                    replica._unapplied -= bytes.Length;
                    if (result.Failure is { } failure)
                    {
                        failed(failure);
                    }
                }),
                cid,
                bytes);
        }

        public override string ToString() => $"{_ahead.Count} to walk, {_wants} wants, {_puts} puts";

        private void Ask(Cid cid)
        {
            if (cid.HashFunction is not (Multicodec.Sha256 or Multicodec.Sha512) || cid.Multihash.DigestLength != (cid.HashFunction == Multicodec.Sha256 ? 32 : 64))
            {
                malformed($"{cid} is no hash that a block can be held against"); // whoever gave it would be blamed
                return;
            }

            _wants++;
            replica.Ask(cid, LogProtocol.MaxBlockBytes, purpose, (from, bytes) =>
            {
                _wants--;
                if (_isOver)
                {
                    return;
                }

                if (from is null)
                {
                    withheld();
                    return;
                }

                Put(cid, bytes);
                if (cid.Codec != Multicodec.Raw)
                {
                    Branch(cid, bytes.Span);
                }
            });
        }

        private void Branch(in Cid cid, ReadOnlySpan<byte> block)
        {
            try
            {
                var links = new List<Cid>();
                Links.AddTo(links, cid.Codec, block);
                for (int i = links.Count - 1; i >= 0; i--)
                {
                    _ahead.Push(links[i]);
                }
            }
            catch (Exception e) when (e is MalformedBlockException or NotSupportedException)
            {
                malformed($"{cid}: {e.Message}"); // signed so: no source can help
            }
        }
    }
}
