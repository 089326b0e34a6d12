using Leither.Ipfs;
using Leither.Ipfs.Keys;

namespace Leither.Replication;

/// <summary>Who may write a MiMei in which epoch: its author in term 0, whom the author's certificates name in others.</summary>
internal sealed class WriterSet(LeitherId mid, PublicKey author)
{
    private readonly SortedList<uint, WriterCertificate> _certificates = [];
    private readonly HashSet<uint> _contested = [];

    public PublicKey Author => author;

    public WriterCertificate? Newest => _certificates.Count == 0 ? null : _certificates.Values[^1];

    public uint Term => Newest?.Term ?? 0;

    /// <summary>The blocks of all, oldest term first.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Blocks => [.. _certificates.Values.Select(static c => c.Block)];

    /// <summary>Takes a certificate's block: true if it is new.</summary>
    /// <param name="block">The block.</param>
    /// <param name="other">Another one for the same term: the two are proof of two histories.</param>
    /// <exception cref="MalformedBlockException">It is none of this MiMei, or not the author's.</exception>
    public bool Add(ReadOnlyMemory<byte> block, out WriterCertificate? other)
    {
        other = null;
        foreach (WriterCertificate known in _certificates.Values)
        {
            if (known.Block.Span.SequenceEqual(block.Span))
            {
                return false;
            }
        }

        WriterCertificate certificate = WriterCertificate.Decode(block.ToArray(), mid, author);
        if (_certificates.TryGetValue(certificate.Term, out other))
        {
            _contested.Add(certificate.Term);
            return false;
        }

        _certificates.Add(certificate.Term, certificate);
        if (_certificates.Count > LogProtocol.MaxCertificates)
        {
            _certificates.RemoveAt(0);
        }

        return true;
    }

    /// <summary>The key that writes in an epoch; empty: nobody is known.</summary>
    public ReadOnlyMemory<byte> WriterOf(ulong epoch)
    {
        uint term = WriterCertificate.TermOf(epoch);
        return term == 0 ? author.Bytes.ToArray() : _certificates.TryGetValue(term, out WriterCertificate? certificate) ? certificate.Writer : default;
    }

    /// <summary>The certificate of a term; null: it is not known.</summary>
    public WriterCertificate? Find(uint term) => _certificates.GetValueOrDefault(term);

    /// <summary>Whether there is more than one certificate for a term: then nobody may write in it.</summary>
    public bool IsContested(uint term) => _contested.Contains(term);

    public bool MayWrite(Head head) => WriterOf(head.Segment.Epoch).Span.SequenceEqual(head.Writer.Span);
}
